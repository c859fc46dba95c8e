//! `Fault`: one thing that is wrong with the TLS of a server, and how grave it is beside others.

use crate::class::Class;
use crate::client::Bad;

/// How grave a fault is, the gravest first: who is turned away, who is not safe, who will be turned away soon, what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gravity {
    NoHandshake,
    OutOfTime,
    OtherHost,
    NotTrusted,
    NotProven,
    OldVersion,
    Weak,
    Soon,
    NotKnown,
    Missing,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) gravity: Gravity,
    pub(crate) bad: Bad,
}

impl Fault {
    /// One that time does not mend.
    pub(crate) fn new(gravity: Gravity, text: impl Into<String>) -> Self {
        Self { gravity, bad: Bad::new(Class::Tls, text) }
    }
}

/// All faults in one sentence, the gravest first, and then what is known besides. The gravest says whether to ask again.
pub(crate) fn together(mut faults: Vec<Fault>, known: &[String]) -> Result<String, Bad> {
    faults.sort_by_key(|fault| fault.gravity);
    let known = known.join("; ");
    let Some(class) = faults.first().map(|fault| fault.bad.class) else {
        return Ok(known);
    };
    let said = faults.into_iter().map(|fault| fault.bad.detail).collect::<Vec<_>>().join("; ");
    Err(Bad::new(class, if known.is_empty() { said } else { format!("{said} ({known})") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_comes_first_and_says_whether_to_ask_again() {
        let known = ["valid for 3 more days".to_owned()];
        let soon = || Fault::new(Gravity::Soon, "soon");
        let silent = || Fault { gravity: Gravity::NoHandshake, bad: Bad::new(Class::Timeout, "silent") };
        assert_eq!(together(Vec::new(), &known), Ok("valid for 3 more days".to_owned()));
        let bad = together(vec![soon(), silent()], &known).unwrap_err();
        assert_eq!(
            (bad.class, bad.detail.as_str()),
            (Class::Timeout, "silent; soon (valid for 3 more days)")
        );
        assert_eq!(together(vec![soon()], &[]), Err(Bad::new(Class::Tls, "soon")));
    }
}
