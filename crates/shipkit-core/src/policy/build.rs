//! `Build`: what an image was made of, as far as that is known, and so where each of its packages comes from.

use std::fmt;

use super::traces::short;

/// What an image was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// The image that it was built upon, where that is known.
    pub base: Option<Base>,
    /// What made each of its layers, the lowest first; none where that is not told. Foreign text.
    pub steps: Vec<String>,
}

/// An image that another was built upon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base {
    /// As people name it: `node:20-alpine`. Foreign text.
    pub name: String,
    /// With how many of its layers the other image begins.
    pub layers: usize,
}

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whence {
    /// It comes with the image that this one was built upon, by its name.
    Base(String),
    /// A step added it: the instruction in one short line.
    Step(String),
    /// It is in a layer of which nobody tells what made it.
    Layer(usize),
    /// Nobody knows the layer.
    Unknown,
}

impl Build {
    /// Where what is in a layer comes from. Without the base, steps of the base are steps like any others.
    #[must_use]
    pub fn whence(&self, layer: Option<usize>) -> Whence {
        let Some(layer) = layer else { return Whence::Unknown };
        if let Some(base) = self.base.as_ref().filter(|base| layer < base.layers) {
            return Whence::Base(base.name.clone());
        }
        match self.steps.get(layer).map(|step| instruction(step)).filter(|step| !step.is_empty()) {
            Some(step) => Whence::Step(step),
            None => Whence::Layer(layer),
        }
    }
}

impl fmt::Display for Whence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base(name) => write!(f, "comes with the base image `{name}`"),
            Self::Step(step) => write!(f, "added by `{step}`"),
            Self::Layer(layer) => write!(f, "added in layer {layer}"),
            Self::Unknown => f.write_str("nobody knows which layer added it"),
        }
    }
}

/// A step as its Dockerfile has it, as far as the history keeps that: without the shell and the values of build arguments.
fn instruction(step: &str) -> String {
    let step = step.trim();
    // `RUN |2 A=1 B=2 /bin/sh -c npm ci`: BuildKit; `|1 A=1 /bin/sh -c npm ci`: Docker's older builder.
    let words = step.strip_prefix("RUN ").unwrap_or(step);
    let is_shell = words.starts_with("/bin/sh -c ") || words.starts_with('|');
    match words.split_once("/bin/sh -c ").filter(|_| is_shell) {
        Some((_, said)) => match said.trim_start().strip_prefix("#(nop) ") {
            Some(instruction) => short(instruction),
            None => short(&format!("RUN {said}")),
        },
        None => short(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_of_the_base_and_what_is_above_of_its_step() {
        let base = Base { name: "node:20-alpine".to_owned(), layers: 1 };
        let steps = ["ADD rootfs / # buildkit", "RUN /bin/sh -c npm ci # buildkit", ""].map(str::to_owned);
        let build = Build { base: Some(base), steps: steps.to_vec() };
        let told = |build: &Build, layer| build.whence(layer).to_string();
        assert_eq!(told(&build, Some(0)), "comes with the base image `node:20-alpine`");
        assert_eq!(told(&build, Some(1)), "added by `RUN npm ci`");
        assert_eq!(told(&build, Some(2)), "added in layer 2");
        assert_eq!(told(&build, Some(3)), "added in layer 3");
        assert_eq!(told(&build, None), "nobody knows which layer added it");
        assert_eq!(told(&Build { base: None, ..build }, Some(0)), "added by `ADD rootfs /`");
    }

    #[test]
    fn a_step_is_told_as_it_stands_in_its_dockerfile() {
        for (step, expected) in [
            ("RUN |1 A=1 /bin/sh -c apt-get update &&\n\tx # buildkit", "RUN apt-get update && x"),
            ("|1 A=1 /bin/sh -c npm ci", "RUN npm ci"),
            ("/bin/sh -c npm ci", "RUN npm ci"),
            ("/bin/sh -c #(nop) COPY dir:ab in /app ", "COPY dir:ab in /app"),
            ("RUN npm ci", "RUN npm ci"),
            ("COPY /bin/sh -c /x", "COPY /bin/sh -c /x"),
        ] {
            assert_eq!(instruction(step), expected);
        }
    }
}
