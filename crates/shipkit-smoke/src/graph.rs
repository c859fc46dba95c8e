//! `Graph`: which check has to wait for which, because it uses what that one captures.

use std::collections::BTreeMap;

use crate::check::Check;

/// What is wrong with who waits for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tangle {
    /// Two checks capture the same name.
    Twice { name: String, first: usize, second: usize },
    /// Each of these waits for the one after it, and the last for the first.
    Circle(Vec<usize>),
}

/// For each check, by its number, those that it waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Graph(Vec<Vec<usize>>);

/// How far one check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    /// It was begun, or skipped.
    Begun,
    Passed,
    /// It ended in any other way.
    NotPassed,
}

/// What to do with a check that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask the check of this number.
    Ask(usize),
    /// Skip `check`: it needs what `producer` did not give.
    Skip { check: usize, producer: usize },
}

impl Graph {
    /// Of checks that each capture some names and use others; a name that nobody captures is nobody's to wait for.
    pub(crate) fn of(checks: &[Check]) -> Result<Self, Tangle> {
        let mut producers: BTreeMap<&String, usize> = BTreeMap::new();
        for (number, check) in checks.iter().enumerate() {
            for name in check.captures() {
                if let Some(first) = producers.insert(name, number) {
                    return Err(Tangle::Twice { name: name.clone(), first, second: number });
                }
            }
        }
        let needs = checks.iter().map(|check| {
            let mut needs: Vec<usize> =
                check.names().iter().filter_map(|name| producers.get(name)).copied().collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        });
        let graph = Self(needs.collect());
        graph.circle().map_or(Ok(graph.clone()), |circle| Err(Tangle::Circle(circle)))
    }

    /// The first circle there is: what is left when everything that need not wait for it is taken away.
    fn circle(&self) -> Option<Vec<usize>> {
        let mut left: Vec<usize> = (0..self.0.len()).collect();
        loop {
            let count = left.len();
            let before = left.clone();
            left.retain(|number| self.needs(*number).iter().any(|need| before.contains(need)));
            if left.len() == count {
                break;
            }
        }
        let mut path = vec![*left.first()?];
        loop {
            let next = *self.needs(*path.last()?).iter().find(|need| left.contains(need))?;
            if let Some(start) = path.iter().position(|number| *number == next) {
                return Some(path.split_off(start));
            }
            path.push(next);
        }
    }

    fn needs(&self, number: usize) -> &[usize] {
        self.0.get(number).map(Vec::as_slice).unwrap_or_default()
    }

    /// What to do now, in order: every check that waits and whose producers have all passed is asked, and one with a producer that has
    /// not is skipped.
    pub(crate) fn steps(&self, states: &[State]) -> Vec<Step> {
        let state = |number: usize| states.get(number).copied().unwrap_or(State::NotPassed);
        let step = |check: usize| {
            let needs = self.needs(check);
            if let Some(producer) = needs.iter().find(|need| state(**need) == State::NotPassed) {
                return Some(Step::Skip { check, producer: *producer });
            }
            needs.iter().all(|need| state(*need) == State::Passed).then_some(Step::Ask(check))
        };
        (0..states.len()).filter(|check| state(*check) == State::Waiting).filter_map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Capture, Http, Kind};

    /// A check by what it captures and what it uses.
    fn node(captures: &[&str], uses: &[&str]) -> Check {
        let captures =
            captures.iter().map(|name| ((*name).to_owned(), Capture::Header("x".to_owned()))).collect();
        let path = uses.iter().map(|name| format!("/${{{name}}}")).collect::<Vec<_>>().concat();
        Check::new("x", Kind::Http(Http { path, captures, ..Http::default() }))
    }

    #[test]
    fn who_uses_what_another_captures_waits_for_it() {
        let checks = [node(&[], &["b", "a", "a", "env"]), node(&["a"], &[]), node(&["b"], &["a"])];
        assert_eq!(Graph::of(&checks), Ok(Graph(vec![vec![1, 2], vec![], vec![1]])));
    }

    #[test]
    fn a_name_captured_twice_and_a_circle_are_refused() {
        let twice = [node(&["a"], &[]), node(&[], &[]), node(&["b", "a"], &[])];
        assert_eq!(Graph::of(&twice), Err(Tangle::Twice { name: "a".to_owned(), first: 0, second: 2 }));
        assert_eq!(Graph::of(&[node(&["a"], &["a"])]), Err(Tangle::Circle(vec![0])));
        // The first waits for the circle and is not in it.
        let round = [node(&[], &["a"]), node(&["a"], &["b"]), node(&["c"], &["a"]), node(&["b"], &["c"])];
        assert_eq!(Graph::of(&round), Err(Tangle::Circle(vec![1, 3, 2])));
    }

    #[test]
    fn what_waits_for_nobody_is_asked_at_once_and_a_failure_is_passed_on() {
        use State::{Begun, NotPassed, Passed, Waiting};
        let graph =
            Graph::of(&[node(&["a"], &[]), node(&["b"], &["a"]), node(&[], &["a", "b"]), node(&[], &[])])
                .unwrap();
        for (states, steps) in [
            ([Waiting; 4], vec![Step::Ask(0), Step::Ask(3)]),
            ([Begun, Waiting, Waiting, Passed], vec![]),
            ([Passed, Waiting, Waiting, NotPassed], vec![Step::Ask(1)]),
            ([Passed, Passed, Waiting, Begun], vec![Step::Ask(2)]),
            (
                [NotPassed, Waiting, Waiting, Begun],
                vec![Step::Skip { check: 1, producer: 0 }, Step::Skip { check: 2, producer: 0 }],
            ),
            ([Passed, NotPassed, Waiting, Begun], vec![Step::Skip { check: 2, producer: 1 }]),
            ([Passed, NotPassed, NotPassed, Passed], vec![]),
        ] {
            assert_eq!(graph.steps(&states), steps, "{states:?}");
        }
    }
}
