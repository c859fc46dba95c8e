//! What `shipkit.yml` may ask for and this version does not do yet: said or refused, never passed over in silence.

use crate::config::{Config, Source};

/// Keys that are read and have no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Without these the result would be another one than was asked for: nothing is built.
    pub refused: Vec<String>,
    /// Without these it is slower or less convenient.
    pub remarks: Vec<String>,
}

/// The gaps between a configuration and what building does.
#[must_use]
pub fn gaps(config: &Config) -> Gaps {
    let mut gaps = Gaps::default();
    for (name, service) in &config.services {
        if let Source::Build(build) = &service.source {
            gaps.refuse(build.per_environment, format!("services.{name}.build.per_environment"));
            gaps.remark(build.runner.is_some(), format!("services.{name}.build.runner"));
        }
        gaps.remark(service.metrics.is_some(), format!("services.{name}.metrics"));
    }
    if let Some(test) = &config.test {
        gaps.refuse(test.e2e.is_some(), "test.e2e".to_owned());
        gaps.remark(!test.setup.is_empty(), "test.setup".to_owned());
        gaps.remark(!test.secrets.is_empty(), "test.secrets".to_owned());
        gaps.remark(test.coverage.is_some(), "test.coverage".to_owned());
        gaps.remark(!test.artifacts.is_empty(), "test.artifacts".to_owned());
    }
    for environment in &config.environments {
        let name = &environment.name;
        gaps.remark(environment.runner.is_some(), format!("environments.{name}.runner"));
        gaps.remark(!environment.notify.is_empty(), format!("environments.{name}.notify"));
    }
    gaps
}

impl Gaps {
    fn refuse(&mut self, is_asked: bool, key: String) {
        self.refused.extend(is_asked.then_some(key));
    }

    fn remark(&mut self, is_asked: bool, key: String) {
        self.remarks.extend(is_asked.then_some(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Needed;

    #[track_caller]
    fn check(more: &str, refused: &[&str], remarks: &[&str]) {
        let text = format!("version: 1\nname: shop\n{more}\nenvironments: {{staging: {{}}}}\n");
        let gaps = gaps(&Config::parse("shipkit.yml", &text, &|_| None, Needed::Build).unwrap());
        assert_eq!((gaps.refused, gaps.remarks), (texts(refused), texts(remarks)));
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_changes_the_result_is_refused_and_the_rest_is_said() {
        check("services: {api: {build: {}}}", &[], &[]);
        check(
            "services: {api: {build: {runner: big, per_environment: true}}}",
            &["services.api.build.per_environment"],
            &["services.api.build.runner"],
        );
        check(
            "services: {api: {build: {}}}\ntest: {run: [a], e2e: {run: [b]}, setup: {node: '20'}}",
            &["test.e2e"],
            &["test.setup"],
        );
    }
}
