//! YAML 1.2 as a tree of JSON values that remembers where each of them stands.
//!
//! Only what a configuration needs: one document (manifests: several), text keys, anchors and aliases; no type tags, and
//! merge keys in what is not `shipkit.yml`.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::{Map, Number, Value};

use super::error::Problem;
use super::scalar::by_kubectl;

/// More is no configuration.
const MAX_BYTES: usize = 1 << 20;
/// Nodes after aliases are replaced by what they stand for: a few lines of them can stand for billions.
const MAX_NODES: usize = 100_000;
/// Manifests hold the definitions of custom resources as well: more is no file of them.
const MAX_BYTES_OF_MANIFESTS: usize = 8 << 20;
const MAX_NODES_OF_MANIFESTS: usize = 400_000;
/// How deep values may nest; `shipkit.yml` itself needs nine levels.
const MAX_DEPTH: usize = 64;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `shipkit.yml`.
    Shipkit,
    /// A Compose file.
    Compose,
    /// A rule file of Prometheus.
    Rules,
    /// Manifests of a cluster.
    Manifests,
}

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Where the key of a value stands, and the value itself. Entries of lists have no key but themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) key: Position,
    pub(super) value: Position,
}

/// What the file says, and where: places by key path, written as `environments.staging.smoke[0].get`.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) file: String,
    pub(super) value: Value,
    pub(super) places: BTreeMap<String, Place>,
    /// What the file itself calls a path, where that is another one.
    pub(super) names: BTreeMap<String, String>,
}

impl Document {
    /// Reads a file.
    pub(super) fn read(file: &str, text: &str, form: Form) -> Result<Self, Problem> {
        let problem = |refusal: Refusal| refusal.in_file(file);
        if MAX_BYTES < text.len() {
            return Err(problem(Refusal::new(START, "the file is larger than 1 MiB")));
        }
        let node = Reader::new(text, form).document().map_err(problem)?;
        let mut places = BTreeMap::new();
        places.insert(String::new(), Place { key: node.at, value: node.at });
        let value = node.place("", &mut places);
        Ok(Self { file: file.to_owned(), value, places, names: BTreeMap::new() })
    }

    /// Reads a file of manifests: the values of its documents, each with the line where it begins. Empty ones are null.
    pub(super) fn stream(file: &str, text: &str) -> Result<Vec<(usize, Value)>, Problem> {
        if MAX_BYTES_OF_MANIFESTS < text.len() {
            return Err(Refusal::new(START, "the file is larger than 8 MiB").in_file(file));
        }
        let mut reader = Reader::new(text, Form::Manifests);
        let mut documents = Vec::new();
        while let Some(node) = reader.next_document().map_err(|refusal| refusal.in_file(file))? {
            documents.push((node.at.line, node.value()));
        }
        Ok(documents)
    }

    /// Something wrong with the value at `path`.
    pub(super) fn problem(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        self.at(self.place(path).value, path, message.into(), hint)
    }

    /// Something wrong with the key at `path`.
    pub(super) fn key_problem(
        &self,
        path: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        self.at(self.place(path).key, path, message.into(), hint)
    }

    /// Whether the file says anything at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// Where `path` stands, or the nearest thing around it that the file has.
    pub(super) fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
                Some(parent) => path = parent,
                None if path.is_empty() => return Place { key: START, value: START },
                None => path = "",
            }
        }
    }

    fn at(&self, at: Position, path: &str, message: String, hint: Option<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            path: self.names.get(path).map_or(path, String::as_str).to_owned(),
            message,
            hint,
        }
    }
}

const START: Position = Position { line: 1, column: 1 };

/// Why there is no tree.
struct Refusal {
    at: Position,
    path: String,
    message: String,
    hint: Option<&'static str>,
}

impl Refusal {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self { at, path: String::new(), message: message.into(), hint: None }
    }

    fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    fn in_file(self, file: &str) -> Problem {
        Problem {
            file: file.to_owned(),
            line: self.at.line,
            column: self.at.column,
            path: self.path,
            message: self.message,
            hint: self.hint.map(str::to_owned),
        }
    }
}

#[derive(Debug, Clone)]
struct Node {
    at: Position,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<(String, Position, Node)>),
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    form: Form,
    /// Finished nodes by anchor.
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    /// How deep the node that is being read nests, as far as it was read.
    deepest: usize,
}

/// What an alias can stand for.
#[derive(Clone)]
struct Anchored {
    node: Node,
    /// How many nodes it holds.
    size: usize,
    /// How many levels it has below itself.
    height: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, form: Form) -> Self {
        Self { events: Parser::new_from_str(text), form, anchors: HashMap::new(), nodes: 0, deepest: 0 }
    }

    fn next(&mut self) -> Result<(Event<'a>, Position), Refusal> {
        match self.events.next_event() {
            Some(Ok((event, Span { start, .. }))) => Ok((event, position(&start))),
            Some(Err(error)) => Err(not_yaml(&error)),
            None => Ok((Event::StreamEnd, START)),
        }
    }

    fn document(&mut self) -> Result<Node, Refusal> {
        let needs = match self.form {
            Form::Shipkit => "it needs `version`, `name`, `services` and `environments`",
            Form::Compose => "it needs `services`",
            Form::Rules => "it needs `groups`",
            Form::Manifests => "it needs `apiVersion`, `kind` and `metadata`",
        };
        let empty = |at| Refusal::new(at, "the file is empty").hint(needs);
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return root.ok_or_else(|| empty(START)),
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Refusal::new(at, "a second document begins here").hint("a file holds one"));
                }
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => {
                    let node = self.node(event, at, 0)?;
                    if matches!(node.content, Content::Scalar(Value::Null)) {
                        return Err(empty(at));
                    }
                    root = Some(node);
                }
            }
        }
    }

    /// The next of several documents; what an anchor names in one of them is not there in the next.
    fn next_document(&mut self) -> Result<Option<Node>, Refusal> {
        self.anchors.clear();
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(None),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..)
                | Event::MappingEnd => return self.node(event, at, 0).map(Some),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, at: Position, depth: usize) -> Result<Node, Refusal> {
        let before = self.nodes;
        self.count(1, at)?;
        self.descend(depth, at)?;
        let deepest_before = self.deepest;
        if !matches!(event, Event::Alias(_)) {
            self.deepest = depth;
        }
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, None) => (
                anchor,
                Content::Scalar(match (style, self.form) {
                    (ScalarStyle::Plain, Form::Manifests) => {
                        by_kubectl(&text).map_err(|reason| Refusal::new(at, reason))?
                    }
                    (ScalarStyle::Plain, Form::Shipkit | Form::Compose | Form::Rules) => plain(&text),
                    _ => text.into(),
                }),
            ),
            Event::SequenceStart(anchor, None) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, None) => (anchor, self.mapping(depth)?),
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err(Refusal::new(at, "type tags (`!...`) have no meaning here"));
            }
            Event::Alias(anchor) => return self.alias(anchor, depth, at),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(Refusal::new(at, "a value is missing here")),
        };
        let node = Node { at, content };
        // The parser counts anchors from 1; 0 is a node without one.
        if anchor != 0 {
            let size = self.nodes.saturating_sub(before);
            let height = self.deepest.saturating_sub(depth);
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        }
        self.deepest = self.deepest.max(deepest_before);
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Refusal> {
        let mut entries = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Content::List(entries));
            }
            let node = self.node(event, at, depth.saturating_add(1));
            let index = format!("[{}]", entries.len());
            entries.push(node.map_err(|refusal| below(&index, refusal))?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Content, Refusal> {
        let mut entries: Vec<(String, Position, Node)> = Vec::new();
        let mut lines = HashMap::new();
        let mut merged = None;
        loop {
            let (event, at) = self.next()?;
            let mut is_merge = false;
            let key = match event {
                Event::MappingEnd => {
                    entries.extend(merged.map(|node| more(&lines, node)).transpose()?.unwrap_or_default());
                    return Ok(Content::Mapping(entries));
                }
                Event::Scalar(text, ScalarStyle::Plain, _, None)
                    if text == "<<" && self.form != Form::Shipkit =>
                {
                    is_merge = true;
                    text.into_owned()
                }
                Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<" => {
                    return Err(Refusal::new(at, "merge keys (`<<`) are not part of YAML 1.2")
                        .hint("put what environments share under `defaults`"));
                }
                Event::Scalar(text, _, _, None) => text.into_owned(),
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Alias(_)
                | Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::SequenceEnd
                | Event::MappingStart(..) => return Err(Refusal::new(at, "a key must be a plain text")),
            };
            self.count(1, at)?;
            if let Some(line) = lines.insert(key.clone(), at.line) {
                let message = format!("the key is given twice, first in line {line}");
                return Err(Refusal { path: key, ..Refusal::new(at, message) });
            }
            let (event, value_at) = self.next()?;
            let node = self
                .node(event, value_at, depth.saturating_add(1))
                .map_err(|refusal| below(&key, refusal))?;
            if is_merge {
                merged = Some(node);
            } else {
                entries.push((key, at, node));
            }
        }
    }

    fn alias(&mut self, anchor: usize, depth: usize, at: Position) -> Result<Node, Refusal> {
        let Some(Anchored { node, size, height }) = self.anchors.get(&anchor).cloned() else {
            let message = match self.form {
                Form::Manifests => "an alias stands inside what it refers to, or in another document",
                Form::Shipkit | Form::Compose | Form::Rules => "an alias stands inside what it refers to",
            };
            return Err(Refusal::new(at, message));
        };
        self.count(size, at)?;
        self.descend(depth.saturating_add(height), at)?;
        Ok(node)
    }

    /// Values that aliases stand for count as well: whoever walks the tree must come back.
    fn descend(&mut self, depth: usize, at: Position) -> Result<(), Refusal> {
        self.deepest = self.deepest.max(depth);
        if MAX_DEPTH < depth {
            return Err(Refusal::new(at, "values nest more than 64 levels deep"));
        }
        Ok(())
    }

    fn count(&mut self, more: usize, at: Position) -> Result<(), Refusal> {
        self.nodes = self.nodes.saturating_add(more);
        match self.form {
            Form::Manifests if MAX_NODES_OF_MANIFESTS < self.nodes => {
                Err(Refusal::new(at, "the file stands for more than 400,000 values"))
            }
            Form::Shipkit | Form::Compose | Form::Rules if MAX_NODES < self.nodes => {
                Err(Refusal::new(at, "the file stands for more than 100,000 values"))
            }
            Form::Shipkit | Form::Compose | Form::Rules | Form::Manifests => Ok(()),
        }
    }
}

/// What a merge key brings besides the keys that are there: of several mappings the first that has a key counts.
fn more(known: &HashMap<String, usize>, node: Node) -> Result<Vec<(String, Position, Node)>, Refusal> {
    let at = node.at;
    let nodes = match node.content {
        Content::List(nodes) => nodes,
        Content::Mapping(_) | Content::Scalar(_) => vec![node],
    };
    let mut brought: Vec<(String, Position, Node)> = Vec::new();
    for node in nodes {
        let Content::Mapping(entries) = node.content else {
            return Err(Refusal::new(at, "a merge key (`<<`) takes a mapping or a list of mappings"));
        };
        for entry in entries {
            let is_new = |name: &String| brought.iter().all(|(other, ..)| other != name);
            if !known.contains_key(&entry.0) && is_new(&entry.0) {
                brought.push(entry);
            }
        }
    }
    Ok(brought)
}

/// The refusal of something inside a mapping or list knows the path to it.
fn below(key: &str, refusal: Refusal) -> Refusal {
    match refusal.path.as_str() {
        "" => refusal,
        path if path.starts_with('[') => Refusal { path: format!("{key}{path}"), ..refusal },
        path => Refusal { path: format!("{key}.{path}"), ..refusal },
    }
}

impl Node {
    /// The value alone.
    fn value(self) -> Value {
        match self.content {
            Content::Scalar(value) => value,
            Content::List(entries) => entries.into_iter().map(Self::value).collect(),
            Content::Mapping(entries) => {
                entries.into_iter().map(|(key, _, node)| (key, node.value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// The value, with the places of everything in it.
    fn place(self, path: &str, places: &mut BTreeMap<String, Place>) -> Value {
        match self.content {
            Content::Scalar(value) => value,
            Content::List(entries) => {
                let mut values = Vec::new();
                for (index, entry) in entries.into_iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    places.insert(path.clone(), Place { key: entry.at, value: entry.at });
                    values.push(entry.place(&path, places));
                }
                Value::Array(values)
            }
            Content::Mapping(entries) => {
                let mut values = Map::new();
                for (key, at, node) in entries {
                    let path = join(path, &key);
                    places.insert(path.clone(), Place { key: at, value: node.at });
                    let value = node.place(&path, places);
                    values.insert(key, value);
                }
                Value::Object(values)
            }
        }
    }
}

/// The path of `key` below `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The parser counts lines from 1 and columns from 0.
fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col().saturating_add(1) }
}

fn not_yaml(error: &ScanError) -> Refusal {
    Refusal::new(position(error.marker()), format!("not YAML: {}", error.info()))
}

/// A plain scalar by the core schema of YAML 1.2, in which `on`, `yes` and `no` are texts. A number that would not
/// be written the same way again stays a text, so that `1.10` and `007` keep their zeros.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| text.into(), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let same = |number: &Number| number.to_string() == text;
    let whole = text.parse::<i64>().ok().map(Number::from).filter(same);
    whole.or_else(|| text.parse::<f64>().ok().and_then(Number::from_f64).filter(same))
}
