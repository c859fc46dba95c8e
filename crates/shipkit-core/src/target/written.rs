//! `Written`: the last lines that one container of a service wrote.

/// The last lines that one container of a service wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The service's name within the stack.
    pub service: String,
    /// The container, as the target's own tools name it.
    pub container: String,
    /// Whether it should be well and is not.
    pub is_failing: bool,
    /// The lines, oldest first; foreign text. `None` where the log cannot be read: it may be gone with its node.
    pub lines: Option<Vec<String>>,
}

/// The same with those of failing containers first, and otherwise in the order of services and containers.
#[must_use]
pub fn failing_first(mut written: Vec<Written>) -> Vec<Written> {
    written.sort_by(|a, b| {
        (!a.is_failing, &a.service, &a.container).cmp(&(!b.is_failing, &b.service, &b.container))
    });
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_comes_first() {
        let one = |service: &str, container: &str, is_failing| Written {
            service: service.to_owned(),
            container: container.to_owned(),
            is_failing,
            lines: None,
        };
        let all =
            [one("b", "b-1", false), one("a", "a-2", false), one("b", "b-2", true), one("a", "a-1", false)];
        let names: Vec<String> = failing_first(all.into()).into_iter().map(|one| one.container).collect();
        assert_eq!(names, ["b-2", "a-1", "a-2", "b-1"]);
    }
}
