//! `Text`: a text with variables in it as Hurl and Postman write them, `{{name}}`.

/// A name that is no variable of the file but one that the import itself makes.
const MADE: char = '=';
/// What Hurl computes anew each time.
const FUNCTIONS: [&str; 2] = ["newUuid", "newDate"];

/// A text in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable(String),
    /// What is computed anew each time.
    Computed(String),
}

impl Text {
    /// Splits a text.
    pub(super) fn read(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            literal.push_str(before);
            let inner = after.split_once("}}").filter(|(inner, _)| !inner.contains(['{', '\n']));
            if let Some((inner, after)) = inner {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(Piece::of(inner.trim()));
                rest = after;
            } else {
                // The variable may begin with the brace after this one.
                literal.push('{');
                rest = rest.get(before.len() + 1..).unwrap_or_default();
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Literal(literal));
        Self(pieces)
    }

    /// The names in it.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name.as_str()),
            Piece::Literal(_) | Piece::Computed(_) => None,
        })
    }

    /// The name, if that is all there is.
    pub(super) fn only_variable(&self) -> Option<&str> {
        let is_empty = |piece: &&Piece| !matches!(piece, Piece::Literal(text) if text.is_empty());
        match self.0.iter().filter(is_empty).collect::<Vec<_>>().as_slice() {
            [Piece::Variable(name)] => Some(name),
            _ => None,
        }
    }

    /// What of it is computed, which our variables cannot do.
    pub(super) fn computed(&self) -> Option<&str> {
        self.0.iter().find_map(|piece| match piece {
            Piece::Computed(text) => Some(text.as_str()),
            Piece::Literal(_) | Piece::Variable(_) => None,
        })
    }

    /// The same with other literals; variables stay.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Literal(text) => change(text),
            Piece::Variable(name) | Piece::Computed(name) => braced(name),
        };
        self.0.iter().map(piece).collect()
    }

    /// As `shipkit.yml` writes it, with our names for variables. `None` where it cannot be written: a dollar sign before a
    /// variable, which would be no variable then.
    pub(super) fn ours(&self, name: &dyn Fn(&str) -> String) -> Option<String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => text.push_str(&literal.replace("${", "$${")),
                Piece::Variable(_) if text.ends_with('$') => return None,
                Piece::Variable(variable) => text.extend(["${", &name(variable), "}"]),
                Piece::Computed(_) => return None,
            }
        }
        Some(text)
    }
}

impl Piece {
    fn of(inner: &str) -> Self {
        let of_environment = inner.strip_prefix("getEnv").map(str::trim);
        if let Some(name) = of_environment.and_then(|name| name.strip_prefix('"')?.strip_suffix('"')) {
            return Self::Variable(name.to_owned());
        }
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        let plain = inner.strip_prefix(MADE).unwrap_or(inner);
        if plain.is_empty() || !plain.chars().all(is_name) || FUNCTIONS.contains(&inner) {
            Self::Computed(inner.to_owned())
        } else {
            Self::Variable(inner.to_owned())
        }
    }
}

/// A variable of the import itself, in a text.
pub(super) fn made(name: &str) -> String {
    braced(&format!("{MADE}{name}"))
}

/// The name of a variable that the import made.
pub(super) fn as_made(name: &str) -> Option<&str> {
    name.strip_prefix(MADE)
}

fn braced(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

/// Percent-encoded as one name or value of a query or a form (RFC 3986 2.3); variables stay.
pub(super) fn encoded(text: &str) -> String {
    let is_free = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    let one = |b: u8| if is_free(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    Text::read(text).map(|literal| literal.bytes().map(one).collect())
}

/// A pattern that only this text fits.
pub(super) fn escaped(text: &str) -> String {
    let is_special = |c: char| {
        c.is_ascii_punctuation()
            && !matches!(
                c,
                '_' | '"' | '\'' | '/' | ',' | ';' | ':' | '@' | '%' | '!' | '=' | '<' | '>' | '`'
            )
    };
    Text::read(text).map(|literal| {
        let one = |c: char| if is_special(c) { format!("\\{c}") } else { c.to_string() };
        literal.chars().map(one).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(text: &str) -> Option<String> {
        Text::read(text).ours(&str::to_uppercase)
    }

    #[test]
    fn variables_become_ours_and_what_looks_like_ours_stays_a_text() {
        for (text, wanted) in [
            ("", ""),
            ("Bearer {{ token }}!", "Bearer ${TOKEN}!"),
            ("{{a}}{{b}}", "${A}${B}"),
            ("${x} {{a}}", "$${x} ${A}"),
            ("{{", "{{"),
            ("{{a", "{{a"),
            ("{{{a}}", "{${A}"),
            ("}} {{getEnv \"Home\"}}", "}} ${HOME}"),
            ("5$ {{a}}", "5$ ${A}"),
        ] {
            assert_eq!(ours(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["${{a}}", "{{newUuid}}", "{{$guid}}", "{{}}"] {
            assert_eq!(ours(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_computed_and_what_is_one_variable_is_known() {
        assert_eq!(Text::read("a{{$randomInt}}").computed(), Some("$randomInt"));
        assert_eq!(Text::read("{{a}}").only_variable(), Some("a"));
        assert_eq!(Text::read("{{a}} ").only_variable(), None);
        assert_eq!(Text::read("a").only_variable(), None);
    }

    #[test]
    fn literals_are_encoded_and_variables_are_not() {
        assert_eq!(encoded("a b&{{x y}}="), "a%20b%26{{x y}}%3D");
        assert_eq!(escaped("a.b{{x.y}}$"), "a\\.b{{x.y}}\\$");
    }
}
