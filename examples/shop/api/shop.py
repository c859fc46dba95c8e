"""The shop's API: standard library and psycopg2, one thread per connection, PostgreSQL behind it."""

import collections
import http.server
import json
import logging
import os
import pathlib
import queue
import signal
import threading
import time

import psycopg2

VERSION = {"version": os.environ.get("VERSION", "dev"), "revision": os.environ.get("REVISION", "unknown")}
ROUTES = {}


class Settings:
    """What the environment says; a wrong value stops the program at its start, before it takes traffic."""

    def __init__(self, environment):
        self.port = int(environment.get("PORT", "8080"))
        self.drain_seconds = float(environment.get("DRAIN_SECONDS", "2"))
        self.log_level = environment.get("LOG_LEVEL", "info").upper()
        self.database_host = environment.get("DATABASE_HOST", "postgres")
        self.password_file = environment.get("DATABASE_PASSWORD_FILE", "/run/secrets/postgres_password")


class Database:
    """Connections to PostgreSQL, kept between requests; there are as many as requests at the same time."""

    def __init__(self, settings):
        self.settings = settings
        self.idle = queue.LifoQueue()

    def query(self, sql):
        """Runs one read; a kept connection that died with its server is replaced once."""
        try:
            connection = self.idle.get_nowait()
        except queue.Empty:
            return self.run(self.connect(), sql)
        try:
            return self.run(connection, sql)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            return self.run(self.connect(), sql)

    def connect(self):
        password = pathlib.Path(self.settings.password_file).read_text(encoding="utf-8").strip()
        connection = psycopg2.connect(
            host=self.settings.database_host, dbname="shop", user="shop", password=password, connect_timeout=2
        )
        connection.autocommit = True
        return connection

    def run(self, connection, sql):
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                rows = cursor.fetchall() if cursor.description else []
        except psycopg2.Error:
            connection.close()
            raise
        self.idle.put(connection)
        return rows

    def prepare(self):
        """Makes the table on the first start; two instances that start together take turns."""
        self.query(
            """
            SELECT pg_advisory_lock(1);
            CREATE TABLE IF NOT EXISTS items (name text PRIMARY KEY, cents integer NOT NULL);
            INSERT INTO items VALUES ('apple', 40), ('bread', 320), ('cheese', 780) ON CONFLICT DO NOTHING;
            SELECT pg_advisory_unlock(1)
            """
        )


class Metrics:
    """Requests by route and status, in the text format of Prometheus."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = collections.Counter()
        self.seconds = collections.Counter()

    def observe(self, route, status, seconds):
        with self.lock:
            self.count[route, status] += 1
            self.seconds[route] += seconds

    def text(self):
        with self.lock:
            lines = ["# TYPE http_requests_total counter"]
            lines += [f'http_requests_total{{route="{r}",status="{s}"}} {n}' for (r, s), n in sorted(self.count.items())]
            lines.append("# TYPE http_request_seconds_total counter")
            lines += [f'http_request_seconds_total{{route="{r}"}} {s:.6f}' for r, s in sorted(self.seconds.items())]
        return "\n".join(lines) + "\n"


def route(path):
    """Registers the function that answers `path`."""

    def register(function):
        ROUTES[path] = function
        return function

    return register


@route("/health/live")
def live(_shop):
    return 200, {"status": "alive"}


@route("/health/ready")
def ready(shop):
    """Ready is: the table that customers ask for can be read."""
    try:
        shop.database.query("SELECT count(*) FROM items")
    except (psycopg2.Error, OSError) as error:
        cause = str(error).splitlines()[0]
        logging.warning("not ready: %s", cause)
        return 503, {"status": "not ready", "cause": cause}
    return 200, {"status": "ready"}


@route("/health")
def health(shop):
    status, answer = ready(shop)
    return status, {**answer, **VERSION}


@route("/version")
def version(_shop):
    return 200, VERSION


@route("/items")
def items(shop):
    rows = shop.database.query("SELECT name, cents FROM items ORDER BY name")
    return 200, {"items": [{"name": name, "price": price(cents)} for name, cents in rows]}


@route("/metrics")
def metrics(shop):
    return 200, shop.metrics.text()


def price(cents):
    """How a price is written: 320 is `3.20`."""
    return f"{cents // 100}.{cents % 100:02}"


class Shop(http.server.ThreadingHTTPServer):
    """The server; closing it waits for the requests in hand."""

    daemon_threads = False
    request_queue_size = 512

    def __init__(self, settings):
        self.database = Database(settings)
        self.metrics = Metrics()
        super().__init__(("", settings.port), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so every answer ends its connection."""

    timeout = 10

    def do_GET(self):
        started = time.monotonic()
        path = self.path.split("?")[0]
        answer = ROUTES.get(path)
        try:
            status, body = answer(self.server) if answer else (404, {"error": "no such path"})
        except (psycopg2.Error, OSError) as error:
            logging.error("%s: %s", path, error)
            status, body = 503, {"error": "the database did not answer"}
        self.send(status, body)
        self.server.metrics.observe(path if answer else "other", status, time.monotonic() - started)

    def send(self, status, body):
        is_text = isinstance(body, str)
        content = body.encode() if is_text else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4" if is_text else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        logging.debug(format, *arguments)


def main():
    settings = Settings(os.environ)
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(message)s")
    shop = Shop(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serving = threading.Thread(target=shop.serve_forever, kwargs={"poll_interval": 0.1})
    serving.start()
    logging.info("serving %(version)s (%(revision)s)", VERSION)
    threading.Thread(target=prepare_when_possible, args=(shop.database, stop), daemon=True).start()
    stop.wait()
    # Whoever has looked our address up a moment ago still comes: serve on until that answer has run out everywhere.
    time.sleep(settings.drain_seconds)
    shop.shutdown()
    shop.server_close()
    logging.info("stopped")


def prepare_when_possible(database, stop):
    """The database may start after us; until its table is there, `/health/ready` says no."""
    while not stop.is_set():
        try:
            database.prepare()
            return
        except (psycopg2.Error, OSError) as error:
            logging.warning("waiting for the database: %s", str(error).splitlines()[0])
            stop.wait(1)


if __name__ == "__main__":
    main()
