//! Takes a test script apart into its statements, as far as these are run in any case.

/// A statement, or the beginning of a block that may be run, or not, or several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) line: usize,
    pub(super) text: String,
    /// Whether it begins a block, of which nothing is known then.
    pub(super) is_block: bool,
}

/// The statements of a script. Those inside of `pm.test` are run as if they stood alone.
pub(super) fn statements(lines: &[(usize, String)]) -> Vec<Statement> {
    let chars = lines.iter().flat_map(|(line, text)| text.chars().chain(['\n']).map(|c| (*line, c)));
    let mut scanner =
        Scanner { chars: chars.collect(), next: 0, found: Vec::new(), text: String::new(), line: 0 };
    scanner.run();
    scanner.found
}

struct Scanner {
    chars: Vec<(usize, char)>,
    next: usize,
    found: Vec<Statement>,
    /// What is read of a statement.
    text: String,
    line: usize,
}

impl Scanner {
    fn run(&mut self) {
        // How many brackets are open, in each block that is around.
        let mut around: Vec<usize> = Vec::new();
        let mut depth = 0_usize;
        while let Some((line, c)) = self.take() {
            if self.text.trim().is_empty() {
                self.line = line;
            }
            match c {
                '/' if self.peek() == Some('/') => self.skip_line(),
                '/' if self.peek() == Some('*') => self.skip_comment(),
                '"' | '\'' | '`' => self.literal(c),
                '/' if self.begins_regex() => self.literal(c),
                '{' if depth == 0 && self.text.trim().is_empty() || self.begins_block() => {
                    if self.is_test() {
                        self.text.clear();
                        around.push(depth);
                        depth = 0;
                    } else {
                        self.end(true);
                        self.skip_block();
                    }
                }
                '}' if depth == 0 => {
                    self.end(false);
                    depth = around.pop().unwrap_or_default();
                }
                '(' | '[' | '{' => {
                    depth += 1;
                    self.text.push(c);
                }
                ')' | ']' | '}' => {
                    depth = depth.saturating_sub(1);
                    self.text.push(c);
                }
                ';' if depth == 0 => self.end(false),
                '\n' if depth == 0 && !self.goes_on() => self.end(false),
                '\n' => self.text.push(' '),
                c => self.text.push(c),
            }
        }
        self.end(false);
    }

    fn take(&mut self) -> Option<(usize, char)> {
        let taken = self.chars.get(self.next).copied();
        self.next += 1;
        taken
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.next).map(|(_, c)| *c)
    }

    /// Keeps what was read, unless it is only what closes something.
    fn end(&mut self, is_block: bool) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        if text.chars().any(char::is_alphanumeric) {
            self.found.push(Statement { line: self.line, text: text.to_owned(), is_block });
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next += 1;
        }
    }

    fn skip_comment(&mut self) {
        let mut last = ' ';
        self.next += 1;
        while let Some((_, c)) = self.take() {
            if last == '*' && c == '/' {
                return;
            }
            last = c;
        }
    }

    /// A text or a pattern to its end, which is its first character again.
    fn literal(&mut self, mark: char) {
        self.text.push(mark);
        let mut is_escaped = false;
        while let Some((_, c)) = self.take() {
            self.text.push(c);
            if c == mark && !is_escaped || c == '\n' && mark != '`' {
                return;
            }
            is_escaped = c == '\\' && !is_escaped;
        }
    }

    /// Whether a slash cannot be a division here.
    fn begins_regex(&self) -> bool {
        self.text.trim_end().ends_with(['(', ',', '=', ':', '[', '!', '&', '|'])
    }

    /// Whether a brace begins a block, and not a value.
    fn begins_block(&self) -> bool {
        let text = self.text.trim();
        text.ends_with("=>") || text.ends_with(')') || matches!(text, "else" | "try" | "finally" | "do")
    }

    /// Whether it is the block of a test, which is always run.
    fn is_test(&self) -> bool {
        let text = self.text.trim();
        let is_function = text.ends_with("=>") || text.contains("function");
        text.starts_with("pm.test(") && is_function && text.matches("pm.").count() == 1
    }

    /// To the brace that ends a block.
    fn skip_block(&mut self) {
        let mut depth = 1;
        while let Some((_, c)) = self.take() {
            match c {
                '"' | '\'' | '`' => {
                    self.literal(c);
                    self.text.clear();
                }
                '/' if self.peek() == Some('/') => self.skip_line(),
                '/' if self.peek() == Some('*') => self.skip_comment(),
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Whether a statement has its next part on the next line.
    fn goes_on(&self) -> bool {
        let rest = self.chars.get(self.next..).unwrap_or_default();
        rest.iter().map(|(_, c)| *c).find(|c| !c.is_whitespace()) == Some('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(script: &str) -> Vec<(usize, String, bool)> {
        let lines: Vec<_> =
            script.lines().enumerate().map(|(number, line)| (number + 1, line.to_owned())).collect();
        let one = |one: Statement| (one.line, one.text, one.is_block);
        statements(&lines).into_iter().map(one).collect()
    }

    #[test]
    fn what_stands_in_a_test_is_a_statement_and_what_may_not_be_run_is_none() {
        let script = r#"// pm.a();
var a = pm.response.json(); /* b();
*/ pm.c("x;}", /"\/;/)
pm.test("it", function () {
    pm.expect(a.b)
        .to.eql({"c": 1});
    if (a) {
        pm.d("}");
    } else { pm.e(); }
    a.list.forEach(x => {
        pm.f(x);
    });
});
pm.test("short", () => { pm.g() });
pm.test("shorter", () => pm.h(1));
pm.i()"#;
        let wanted = [
            (2, "var a = pm.response.json()", false),
            (3, r#"pm.c("x;}", /"\/;/)"#, false),
            (5, r#"pm.expect(a.b)         .to.eql({"c": 1})"#, false),
            (7, "if (a)", true),
            (9, "else", true),
            (10, "a.list.forEach(x =>", true),
            (14, "pm.g()", false),
            (15, r#"pm.test("shorter", () => pm.h(1))"#, false),
            (16, "pm.i()", false),
        ];
        let wanted: Vec<_> =
            wanted.into_iter().map(|(line, text, is_block)| (line, text.to_owned(), is_block)).collect();
        assert_eq!(found(script), wanted);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in any::<String>(), braces in "[(){}\\[\\]\"'/*;\n=>pm.test ]{0,60}") {
            prop_assert!(found(&text).len() <= text.len());
            prop_assert!(found(&braces).len() <= braces.len());
        }
    }
}
