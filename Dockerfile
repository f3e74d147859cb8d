# One image for every hybridrec, Airflow, MLflow and Spark process; the data lies in volumes, never in the image.
FROM python:3.11.7-slim-bookworm

# Debian keeps one version of a package; one that is named here would be gone with the next security update.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless libgomp1 procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 50000 hybridrec

WORKDIR /srv/hybridrec
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY pyproject.toml ./
COPY include include
COPY jobs jobs
COPY plugins plugins
COPY dags dags
COPY deploy/healthy.py deploy/make_buckets.py deploy/
# A new volume takes the owner of the folder that it is laid over.
RUN pip install --no-cache-dir --no-deps . \
    && install -d -o hybridrec -g hybridrec /var/lib/hybridrec /var/lib/served /var/lib/store /var/lib/spark-events \
        /var/lib/spark-work /var/lib/spark-scratch

USER 50000
RUN python -m hybridrec.installation.precompile
CMD ["airflow", "version"]
