# Builds any service: docker build --build-arg SERVICE=scheduler -f deploy/docker/service.Dockerfile .
FROM python:3.12-slim
ARG SERVICE
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY shared shared
# The extra has the name of the service, with dashes instead of underscores.
RUN pip install --no-cache-dir -c constraints.txt ".[$(echo "$SERVICE" | tr _ -)]"
COPY services/__init__.py services/__init__.py
COPY services/${SERVICE} services/${SERVICE}
RUN useradd --system --home /app sluiceway && mkdir /data && chown sluiceway /data
USER sluiceway
ENV SERVICE=${SERVICE} \
    SLUICEWAY_HTTP_HOST=0.0.0.0 \
    SLUICEWAY_HTTP_PORT=8080 \
    SLUICEWAY_SNAPSHOT_DIR=/data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
CMD ["sh", "-c", "exec python -m services.${SERVICE}"]
