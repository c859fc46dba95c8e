//! What `shipkit.yml` may ask for and this version does not do yet: said or refused, never passed over in silence.

use crate::config::{Cache, Config, Source};

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
            gaps.remark(build.cache != Cache::None, format!("services.{name}.build.cache"));
            gaps.remark(build.runner.is_some(), format!("services.{name}.build.runner"));
        }
        gaps.remark(service.metrics.is_some(), format!("services.{name}.metrics"));
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
            "services: {api: {build: {cache: gha, per_environment: true}}}",
            &["services.api.build.per_environment"],
            &["services.api.build.cache"],
        );
    }
}
