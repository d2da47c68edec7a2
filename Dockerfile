# Two images from one file: `coordinator` and `site`. The site's image serves its node and its
# worker, which run as two containers.
#
#   docker build --target coordinator --tag myofed-coordinator .
#   docker build --target site --tag myofed-site .
#
# With PyTorch for a GPU (docs/site.md, "A GPU"), from the index of the CUDA that the driver can run:
#
#   docker build --target site --tag myofed-site-gpu \
#       --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cuNNN .

FROM python:3.11-slim-bookworm AS build
# PyRadiomics 3.0.1 has no wheel for Python 3.11 and is compiled here.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY constraints.txt ./
RUN python -m venv /opt/myofed
ENV PATH=/opt/myofed/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --constraint constraints.txt numpy wheel versioneer setuptools \
    && pip install --constraint constraints.txt --no-build-isolation pyradiomics \
    && pip install --constraint constraints.txt --index-url ${TORCH_INDEX} \
        --extra-index-url https://pypi.org/simple torch
COPY pyproject.toml README.md LICENSE myofed.py ./
COPY common ./common
COPY harmonization ./harmonization
COPY client ./client
COPY server ./server
COPY simulation ./simulation
RUN pip install --constraint constraints.txt .

FROM python:3.11-slim-bookworm AS base
COPY --from=build /opt/myofed /opt/myofed
# Whoever breaks out of the process is nobody here. Volumes take the owner of their mount point.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin myofed \
    && install --directory --owner=myofed --group=myofed --mode=0700 \
        /coordinator /site /site/node /link
ENV PATH=/opt/myofed/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLWR_TELEMETRY_ENABLED=0
USER myofed
WORKDIR /tmp

FROM base AS coordinator
VOLUME /coordinator
EXPOSE 9443
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "common.health", "127.0.0.1:9444"]
CMD ["myofed", "coordinator", "up", "/coordinator"]

FROM base AS site
VOLUME /site /link
CMD ["myofed", "site", "up", "/site", "--link", "/link"]
