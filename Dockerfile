# One image for every hybridrec and Airflow process; the data lies in volumes, never in the image.
FROM python:3.11.7-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless libgomp1 procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 50000 hybridrec

WORKDIR /srv/hybridrec
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY --chown=hybridrec:hybridrec pyproject.toml ./
COPY --chown=hybridrec:hybridrec include include
COPY --chown=hybridrec:hybridrec jobs jobs
COPY --chown=hybridrec:hybridrec plugins plugins
COPY --chown=hybridrec:hybridrec dags dags
RUN pip install --no-cache-dir --no-deps . && mkdir -p /var/lib/hybridrec && chown hybridrec:hybridrec /var/lib/hybridrec

USER hybridrec
ENV HYBRIDREC_HOME=/var/lib/hybridrec \
    OMP_WAIT_POLICY=PASSIVE \
    OPENBLAS_NUM_THREADS=1 \
    PYTHONUNBUFFERED=1
CMD ["airflow", "version"]
