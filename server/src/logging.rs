//! What is logged: one event, one line, whatever a client sent.
//!
//! JSON for programs, text for people. Control characters, line separators and characters that
//! reorder text are escaped after formatting, so that no value can begin a line of its own, paint a
//! terminal or show a line in another order. Bodies and `Authorization` are never given to an event.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write},
    panic::PanicHookInfo,
};

use tracing::{Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer as _, fmt::MakeWriter, layer::SubscriberExt as _, registry::Registry};

use crate::config::{LogFormat, LogLevel, Logging};

/// Begins to log to standard error, and lets panics be logged too. Does nothing when a log was
/// begun before.
pub fn start(logging: Logging) {
    let automatic = if io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let format = logging.format.unwrap_or(automatic);
    if tracing::subscriber::set_global_default(subscriber(format, logging.level, io::stderr)).is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// A subscriber that writes one line for each event to `writer`.
pub fn subscriber<W>(format: LogFormat, level: LogLevel, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // Libraries that log each statement or frame are kept one step quieter than Keyward itself.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(Level::INFO))
        .with_target("server", level)
        .with_target("keyward", level)
        .with_target("ops", level)
        .with_target("store", level)
        .with_target("app", level)
        .with_target("hyper", LevelFilter::WARN)
        .with_target("sqlx", LevelFilter::WARN);
    let writer = OneLine(writer);
    let layer = match format {
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_writer(writer)
            .boxed(),
        LogFormat::Text => tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).boxed(),
    };
    Registry::default().with(layer.with_filter(filter))
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: "keyward", place, "a defect: {}", message.unwrap_or("a panic without a text"));
}

/// Makes writers that keep one event on one line.
struct OneLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = LineWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self.0.make_writer())
    }
}

/// Escapes each event; the formatter hands one over in one piece.
struct LineWriter<W>(W);

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // Most lines hold nothing that could do harm: they go out as they are.
        if let Some((b'\n', body)) = event.split_last()
            && body.iter().all(|byte| (b' '..=b'~').contains(byte))
        {
            self.0.write_all(event)?;
            return Ok(event.len());
        }
        let text = String::from_utf8_lossy(event);
        let body = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escape(body);
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes characters that could break, hide or reorder a line as `\uXXXX`, which JSON reads back.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if is_unsafe(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing into a String does not fail.
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{2028}' | '\u{2029}'                       // line and paragraph separators
            | '\u{061c}' | '\u{200b}'..='\u{200f}'        // marks without width, and of direction
            | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' // embeddings, overrides, isolates
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}
