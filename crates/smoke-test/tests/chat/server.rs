//! A chat service whose users, rooms and messages are in `PostgreSQL`, with one fault or none.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

const TABLES: &str = "
    CREATE TABLE users (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        username text NOT NULL UNIQUE CHECK (length(username) BETWEEN 3 AND 30),
        password bytea NOT NULL);
    CREATE TABLE sessions (
        token uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        author uuid NOT NULL REFERENCES users);
    CREATE TABLE rooms (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL CHECK (name <> ''),
        made timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE TABLE messages (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        room uuid NOT NULL REFERENCES rooms,
        author uuid NOT NULL REFERENCES users,
        content text NOT NULL CHECK (content <> ''),
        sent timestamptz NOT NULL DEFAULT clock_timestamp());
";

const REGISTER: &str = "
    INSERT INTO users (username, password) VALUES ($1, sha256(convert_to($2, 'UTF8')))
    RETURNING jsonb_build_object('id', id, 'username', username)::text";
const LOGIN: &str = "
    INSERT INTO sessions (author) SELECT id FROM users WHERE username = $1 AND password = sha256(convert_to($2, 'UTF8'))
    RETURNING jsonb_build_object('token', token)::text";
const OPEN: &str =
    "INSERT INTO rooms (name) VALUES ($1) RETURNING jsonb_build_object('id', id, 'name', name)::text";
const ROOMS: &str = "
    SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'name', name) ORDER BY made), '[]')::text FROM rooms";
const SEND: &str = "
    INSERT INTO messages (room, author, content) SELECT $1::text::uuid, author, $2 FROM sessions WHERE token = $3::text::uuid
    RETURNING jsonb_build_object('id', id, 'roomId', room, 'content', content)::text";
const MESSAGES: &str = "
    WITH page AS (SELECT * FROM messages
        WHERE room = $1::text::uuid AND ($3::text IS NULL OR sent < $3::text::timestamptz)
        ORDER BY sent DESC LIMIT $2::text::bigint)
    SELECT jsonb_build_object(
        'messages', coalesce(jsonb_agg(jsonb_build_object('id', id, 'roomId', room, 'content', content) ORDER BY sent DESC), '[]'),
        'nextCursor', min(sent))::text FROM page";
const KNOWN: &str = "SELECT 'true' FROM sessions WHERE token = $1::text::uuid";

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It says that it is ready, whatever the database says.
    SaysReady,
    /// It lets everybody in.
    OpenToAll,
    /// It takes any password.
    AnyPassword,
    /// It counts messages instead of listing them.
    OtherShape,
}

struct Chat {
    database: Client,
    fault: Fault,
}

type Answer = (StatusCode, Json<Value>);

/// Makes the tables in an empty database at this address, and serves; returns the address of the service.
pub(crate) async fn serve(database: &str, fault: Fault) -> String {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(TABLES).await.unwrap();
    let app = Router::new()
        .route("/health/ready", get(ready))
        .route("/auth/register", post(register))
        .route("/auth/login", post(login))
        .route("/rooms", get(rooms).post(open))
        .route("/messages", get(messages).post(send))
        .with_state(Arc::new(Chat { database: client, fault }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

impl Chat {
    /// The JSON that a statement gives, if it gives a row, or the status that says why it gives none.
    async fn ask(
        &self,
        statement: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Value>, StatusCode> {
        let row = self.database.query_opt(statement, values).await.map_err(|error| match error.code() {
            Some(code) if *code == SqlState::UNIQUE_VIOLATION => StatusCode::CONFLICT,
            Some(code) if *code == SqlState::FOREIGN_KEY_VIOLATION => StatusCode::NOT_FOUND,
            Some(code)
                if [SqlState::CHECK_VIOLATION, SqlState::INVALID_TEXT_REPRESENTATION].contains(code) =>
            {
                StatusCode::BAD_REQUEST
            }
            Some(_) | None => StatusCode::INTERNAL_SERVER_ERROR,
        })?;
        Ok(row.map(|row| serde_json::from_str(row.get(0)).unwrap()))
    }

    /// The one row of a statement, with this status.
    async fn row(&self, status: StatusCode, statement: &str, values: &[&(dyn ToSql + Sync)]) -> Answer {
        match self.ask(statement, values).await {
            Ok(Some(value)) => (status, Json(value)),
            Ok(None) => refused(StatusCode::UNAUTHORIZED),
            Err(status) => refused(status),
        }
    }

    /// The token of a session, if there is one.
    async fn session(&self, headers: &HeaderMap) -> Result<String, Answer> {
        let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        match self.ask(KNOWN, &[&token]).await {
            Ok(Some(_)) => Ok(token.to_owned()),
            _ if self.fault == Fault::OpenToAll => Ok(token.to_owned()),
            Ok(None) | Err(StatusCode::BAD_REQUEST) => Err(refused(StatusCode::UNAUTHORIZED)),
            Err(status) => Err(refused(status)),
        }
    }
}

fn refused(status: StatusCode) -> Answer {
    (status, Json(json!({"error": status.canonical_reason()})))
}

/// A text of the body; an empty one if there is none.
fn text<'a>(body: &'a Map<String, Value>, key: &str) -> &'a str {
    body.get(key).and_then(Value::as_str).unwrap_or_default()
}

async fn ready(State(chat): State<Arc<Chat>>) -> Answer {
    match chat.ask("SELECT 'true'", &[]).await {
        Err(_) if chat.fault != Fault::SaysReady => refused(StatusCode::SERVICE_UNAVAILABLE),
        Ok(_) | Err(_) => (StatusCode::OK, Json(json!({"status": "ready"}))),
    }
}

async fn register(State(chat): State<Arc<Chat>>, Json(body): Json<Map<String, Value>>) -> Answer {
    let password = text(&body, "password");
    if password.len() < 8 {
        return refused(StatusCode::BAD_REQUEST);
    }
    chat.row(StatusCode::CREATED, REGISTER, &[&text(&body, "username"), &password]).await
}

async fn login(State(chat): State<Arc<Chat>>, Json(body): Json<Map<String, Value>>) -> Answer {
    let answer = chat.row(StatusCode::OK, LOGIN, &[&text(&body, "username"), &text(&body, "password")]).await;
    if answer.0 == StatusCode::UNAUTHORIZED && chat.fault == Fault::AnyPassword {
        return (StatusCode::OK, Json(json!({"token": "00000000-0000-0000-0000-000000000000"})));
    }
    answer
}

async fn rooms(State(chat): State<Arc<Chat>>, headers: HeaderMap) -> Answer {
    match chat.session(&headers).await {
        Ok(_) => chat.row(StatusCode::OK, ROOMS, &[]).await,
        Err(answer) => answer,
    }
}

async fn open(
    State(chat): State<Arc<Chat>>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Answer {
    match chat.session(&headers).await {
        Ok(_) => chat.row(StatusCode::CREATED, OPEN, &[&text(&body, "name")]).await,
        Err(answer) => answer,
    }
}

async fn send(
    State(chat): State<Arc<Chat>>,
    headers: HeaderMap,
    Json(body): Json<Map<String, Value>>,
) -> Answer {
    match chat.session(&headers).await {
        Ok(token) => {
            let (room, content) = (text(&body, "roomId"), text(&body, "content"));
            chat.row(StatusCode::CREATED, SEND, &[&room, &content, &token]).await
        }
        Err(answer) => answer,
    }
}

async fn messages(
    State(chat): State<Arc<Chat>>,
    headers: HeaderMap,
    Query(query): Query<Map<String, Value>>,
) -> Answer {
    if let Err(answer) = chat.session(&headers).await {
        return answer;
    }
    let given = |key| query.get(key).and_then(Value::as_str);
    let (room, limit) = (given("roomId").unwrap_or_default(), given("limit").unwrap_or("50"));
    let (status, Json(page)) = chat.row(StatusCode::OK, MESSAGES, &[&room, &limit, &given("cursor")]).await;
    match page.get("messages").and_then(Value::as_array) {
        Some(all) if chat.fault == Fault::OtherShape => (status, Json(json!({"messages": all.len()}))),
        Some(_) | None => (status, Json(page)),
    }
}
