//! Whether a certificate authority may issue certificates for a name (RFC 8659).

use super::packet::{Answer, Property};

/// What one name on the way up says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Climb {
    /// Nothing: its parent is asked.
    Ask(String),
    /// These are the records that count; empty if there are none up to the root.
    Relevant(Relevant),
    /// It is not known, and then no authority issues (RFC 8659 3).
    Unknown(String),
}

/// The records that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Relevant {
    /// Where they are.
    pub(crate) name: String,
    pub(crate) properties: Vec<Property>,
}

/// What follows from an answer about the CAA records of `name`: the first name on the way to the root that has any decides.
pub(crate) fn climb(name: &str, answer: Answer) -> Climb {
    let found = match answer {
        Answer::Found(found) => found.caa,
        Answer::NoName(_) => Vec::new(),
        Answer::Error(why) => return Climb::Unknown(why.to_owned()),
        Answer::Broken(why) => return Climb::Unknown(why),
    };
    if !found.is_empty() {
        return Climb::Relevant(Relevant { name: name.to_owned(), properties: found });
    }
    match name.split_once('.') {
        Some((_, parent)) => Climb::Ask(parent.to_owned()),
        None => Climb::Relevant(Relevant::default()),
    }
}

impl Relevant {
    /// Whether this authority may issue certificates for the name, which is no wildcard, and why.
    pub(crate) fn allows(&self, authority: &str) -> Result<String, String> {
        let at = &self.name;
        if self.properties.is_empty() {
            return Ok(format!("`{authority}` may issue certificates, as there is no CAA record"));
        }
        let strange = |property: &&Property| property.is_critical && !is_known(&property.tag);
        if let Some(property) = self.properties.iter().find(strange) {
            let tag: String = property.tag.escape_default().collect();
            return Err(format!(
                "no authority that does not know the critical CAA property `{tag}` of `{at}` may issue certificates"
            ));
        }
        let issue: Vec<&Property> =
            self.properties.iter().filter(|property| property.tag == "issue").collect();
        if issue.is_empty() {
            return Ok(format!(
                "`{authority}` may issue certificates, as the CAA records of `{at}` have no `issue`"
            ));
        }
        let named: Vec<&str> = issue.iter().filter_map(|property| issuer(&property.value)).collect();
        if named.iter().any(|name| name.eq_ignore_ascii_case(authority)) {
            return Ok(format!("`{authority}` may issue certificates by the CAA records of `{at}`"));
        }
        let mut others: Vec<String> = named.iter().map(|name| format!("`{name}`")).collect();
        others.dedup();
        let who = if others.is_empty() {
            "nobody may".to_owned()
        } else {
            format!("only {} may", crate::judge::list(&others))
        };
        Err(format!("`{authority}` may not issue certificates: by the CAA records of `{at}`, {who}"))
    }
}

/// Those that every authority knows.
fn is_known(tag: &str) -> bool {
    matches!(tag, "issue" | "issuewild" | "iodef")
}

/// The authority that a value of `issue` names, if it names one and is written as it should be (RFC 8659 4.2). Its parameters are between
/// that one and its customer.
fn issuer(value: &str) -> Option<&str> {
    let name = value.split(';').next()?.trim_matches([' ', '\t']);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
    };
    name.split('.').all(is_label).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::packet::Found;

    /// Properties such as `issue ca.example` and, where they are critical, `!tbs unknown`.
    fn properties(lines: &[&str]) -> Vec<Property> {
        let property = |line: &&str| {
            let (tag, value) = line.split_once(' ').unwrap();
            let (is_critical, tag) = tag.strip_prefix('!').map_or((false, tag), |tag| (true, tag));
            Property { is_critical, tag: tag.to_owned(), value: value.to_owned() }
        };
        lines.iter().map(property).collect()
    }

    fn allowed(lines: &[&str]) -> Result<String, String> {
        Relevant { name: "shop.test".to_owned(), properties: properties(lines) }.allows("ca.example")
    }

    #[test]
    fn who_is_named_may_issue_and_nobody_else() {
        for good in [
            &["issue ca.example"][..],
            &["issue  CA.Example\t; account=230123"],
            &["issue other.example", "issue ca.example"],
            &["issue ;", "issue ca.example;"],
            &["iodef mailto:a@shop.test", "issuewild ;", "tbs unknown"],
            &["!issue ca.example"],
            &[],
        ] {
            assert!(allowed(good).is_ok(), "{good:?}: {:?}", allowed(good));
        }
        let only = "`ca.example` may not issue certificates: by the CAA records of `shop.test`, ";
        for (bad, who) in [
            (
                &["issue other.example", "issue more.example; a=b"][..],
                "only `other.example`, `more.example` may",
            ),
            (&["issue ;", "issuewild ca.example"], "nobody may"),
            (&["issue "], "nobody may"),
            (&["issue ca.example a=b"], "nobody may"),
            (&["issue .ca.example"], "nobody may"),
            (&["issue %%%"], "nobody may"),
        ] {
            assert_eq!(allowed(bad), Err(format!("{only}{who}")), "{bad:?}");
        }
    }

    #[test]
    fn a_critical_property_that_not_all_know_forbids_all() {
        let wanted = "no authority that does not know the critical CAA property `tbs` of `shop.test` may issue certificates";
        assert_eq!(allowed(&["issue ca.example", "!tbs unknown"]), Err(wanted.to_owned()));
    }

    #[test]
    fn the_first_name_with_records_counts_up_to_the_last_below_the_root() {
        let has = |lines: &[&str]| Answer::Found(Found { caa: properties(lines), ..Found::default() });
        assert_eq!(climb("a.shop.test", has(&[])), Climb::Ask("shop.test".to_owned()));
        assert_eq!(climb("shop.test", Answer::NoName("x".to_owned())), Climb::Ask("test".to_owned()));
        assert_eq!(climb("test", has(&[])), Climb::Relevant(Relevant::default()));
        let relevant = Relevant { name: "shop.test".to_owned(), properties: properties(&["iodef x"]) };
        assert_eq!(climb("shop.test", has(&["iodef x"])), Climb::Relevant(relevant));
        assert_eq!(climb("shop.test", Answer::Error("x")), Climb::Unknown("x".to_owned()));
        assert_eq!(climb("shop.test", Answer::Broken("y".to_owned())), Climb::Unknown("y".to_owned()));
    }
}
