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
# An edge is not ready before its region is in the catalogue, so that the first start takes longer.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["sh", "-c", "echo 'say which service: python -m services.NAME' >&2; exit 2"]
