-- Run once on an empty server, by the superuser: a database with its owner for each program, and a role that reads what is published.
-- A secret is a line of a .pgpass file, whose fifth field is the password. psql reads it itself, so it is on no command line.
\set airflow `cut -d: -f5 "$SECRETS/pgpass_airflow"`
\set mlflow `cut -d: -f5 "$SECRETS/pgpass_mlflow"`
\set publisher `cut -d: -f5 "$SECRETS/pgpass_publisher"`
\set reader `cut -d: -f5 "$SECRETS/pgpass_reader"`
SET log_min_error_statement = panic;

CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE publisher LOGIN PASSWORD :'publisher';
CREATE ROLE hybridrec_reader LOGIN PASSWORD :'reader';

CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE recommendations OWNER publisher;

-- Everybody may connect to a new database; here only its owner may, and the readers to theirs.
REVOKE ALL ON DATABASE airflow, mlflow, recommendations, postgres, template1 FROM PUBLIC;
GRANT CONNECT ON DATABASE recommendations TO hybridrec_reader;

-- While a reader's transaction has read a view, a switch waits: none may be forgotten.
ALTER ROLE hybridrec_reader SET default_transaction_read_only = on;
ALTER ROLE hybridrec_reader SET idle_in_transaction_session_timeout = '30s';
