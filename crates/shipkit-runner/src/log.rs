//! Log lines for whoever looks for a fault: on stderr, chosen by `SHIPKIT_LOG`.

use std::io::{self, Write};

use shipkit_core::Hint;
use shipkit_core::exit::ExitCode;
use tracing_subscriber::EnvFilter;

use crate::env::{self, Env};
use crate::sanitize;

/// What `RUNNER_DEBUG=1` shows: ours in full, of the transport only what went wrong.
const DEBUG: &str = "debug,hyper=info,hyper_util=info,h2=info,rustls=info,reqwest=info,tower=info";

/// A `SHIPKIT_LOG` that names no filter.
#[derive(Debug, thiserror::Error)]
#[error("`SHIPKIT_LOG` is no log filter: `{filter}`")]
pub(crate) struct LogError {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

impl Hint for LogError {
    fn hint(&self) -> Option<String> {
        Some("write `debug`, or parts like `warn,shipkit_registry=debug`".to_owned())
    }

    fn exit_code(&self) -> ExitCode {
        ExitCode::Usage
    }
}

/// Starts logging for the whole process; where something did so before, that stays.
pub(crate) fn start(env: &Env) -> Result<(), LogError> {
    let is_debug = env.get(env::RUNNER_DEBUG) == Some("1");
    let filter = env.get(env::SHIPKIT_LOG).unwrap_or(if is_debug { DEBUG } else { "warn" });
    let filter =
        EnvFilter::try_new(filter).map_err(|source| LogError { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Harmless);
    lines.with_ansi(false).try_init().ok();
    Ok(())
}

/// Stderr without workflow commands: log lines quote foreign text. One event arrives in one write.
struct Harmless;

impl Write for Harmless {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = sanitize::text(String::from_utf8_lossy(bytes).trim_end());
        io::stderr().lock().write_all(format!("{text}\n").as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
