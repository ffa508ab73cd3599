# One image for all services: docker build -t sluiceway -f deploy/docker/service.Dockerfile .
# The command says which: docker run sluiceway python -m services.edge
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY shared shared
RUN pip install --no-cache-dir -c constraints.txt ".[certificates,console,edge,evaluator-publisher,grpc,monitor,scheduler]"
COPY services services
# A number, so that Kubernetes can tell that it is not root (runAsNonRoot). Nothing but /data needs to be writable.
RUN mkdir /data && chown 10001:10001 /data
USER 10001:10001
ENV PYTHONDONTWRITEBYTECODE=1 \
    SLUICEWAY_HTTP_HOST=0.0.0.0 \
    SLUICEWAY_HTTP_PORT=8080 \
    SLUICEWAY_SNAPSHOT_DIR=/data
EXPOSE 8080
# An edge is not ready before its region is in the catalogue, so the first start may take long on a slow host.
# It takes 20 ms of a processor; with urllib it would be 70.
HEALTHCHECK --interval=5s --timeout=5s --start-period=300s CMD ["python", "-ISc", "import socket; \
    asked = socket.create_connection(('127.0.0.1', 8080), 4); \
    asked.sendall(b'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n'); \
    raise SystemExit(asked.recv(12) != b'HTTP/1.1 200')"]
CMD ["sh", "-c", "echo 'say which service: python -m services.NAME' >&2; exit 2"]
