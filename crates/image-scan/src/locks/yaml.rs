//! YAML as tools write it into lock files: texts, lists and maps. Every scalar is a text.

use saphyr_parser::{Event, Parser, StrInput};
use serde_json::{Map, Value};

/// How deep values may nest; in lock files they do to five levels.
const DEPTH: usize = 32;

/// The documents of a file.
///
/// # Errors
/// When it is no YAML, or has aliases: no tool writes those, and a few of them can stand for billions of values.
pub(super) fn read(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = Reader { events: Parser::new_from_str(text) };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok(documents),
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event @ (Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd) => documents.push(reader.value(event, 0)?),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, String> {
        match self.events.next_event() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(format!("it is no YAML: {error}")),
            None => Ok(Event::StreamEnd),
        }
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, String> {
        if DEPTH < depth {
            return Err(format!("its values nest deeper than {DEPTH} levels"));
        }
        match event {
            Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
            Event::SequenceStart(..) => self.list(depth),
            Event::MappingStart(..) => self.map(depth),
            Event::Alias(_) => Err("it has aliases".to_owned()),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => Err("a value is missing".to_owned()),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut entries = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Value::Array(entries));
            }
            entries.push(self.value(event, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        let mut entries = Map::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Object(entries));
            }
            let Value::String(key) = self.value(event, depth + 1)? else {
                return Err("a key is no text".to_owned());
            };
            let event = self.next()?;
            let value = self.value(event, depth + 1)?;
            entries.insert(key, value);
        }
    }
}
