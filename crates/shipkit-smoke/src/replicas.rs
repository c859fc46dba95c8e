//! Which release answers how often: one of them on all connections, or a mix. Who asks stands in `run`.

use std::net::{IpAddr, SocketAddr};

use crate::class::Class;
use crate::client::Bad;
use crate::judge::list;

/// What came of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The address that was asked, where each is asked for itself.
    pub(crate) address: Option<IpAddr>,
    /// What to call the release that answered.
    pub(crate) name: Option<String>,
    /// Whether it is the wanted one.
    pub(crate) judged: Result<(), Bad>,
}

/// What the answers mean together. What this machine has no route to says nothing about the other side, and does not count as
/// long as another address answers.
pub(crate) fn judged(answers: &[Answered], no_route: &[SocketAddr]) -> Result<String, Bad> {
    let apart = list(&no_route.iter().map(|address| format!("`{}`", address.ip())).collect::<Vec<_>>());
    if answers.is_empty() {
        return Err(match no_route {
            [] => Bad::new(Class::Dns, "the name has no address"),
            _ => Bad::new(Class::NoRoute, format!("from here there is no route to {apart}")),
        });
    }
    let apart =
        if no_route.is_empty() { String::new() } else { format!("; from here there is no route to {apart}") };
    let groups = groups(answers);
    let bad: Vec<&Bad> = answers.iter().filter_map(|answer| answer.judged.as_ref().err()).collect();
    match (groups.as_slice(), bad.first()) {
        ([one], None) => Ok(format!("{} answers on {}{apart}", one.what, connections(answers))),
        (_, None) => Ok(format!("{}{apart}", told(&groups))),
        ([_], Some(first)) => Err(Bad::new(class(&bad, answers), format!("{}{apart}", first.detail))),
        (_, Some(_)) => Err(Bad::new(class(&bad, answers), format!("mixed: {}{apart}", told(&groups)))),
    }
}

/// A release that is neither the one that was shipped nor the one before, if one answers: somebody else deploys, and time mends nothing.
/// The first other one that is seen is the one before.
pub(crate) fn stranger(before: &mut Option<String>, answers: &[Answered]) -> Option<String> {
    let others =
        answers.iter().filter(|answer| answer.judged.is_err()).filter_map(|answer| answer.name.as_ref());
    for name in others {
        let known = before.get_or_insert_with(|| name.clone());
        if known != name {
            return Some(format!(
                "`{name}` answers, which is neither the release that was shipped nor `{known}`, which answered before"
            ));
        }
    }
    None
}

/// Answers that say the same.
struct Group {
    what: String,
    count: usize,
    /// Where they came from, if it is not the wanted release.
    from: Vec<String>,
}

/// The largest first, and those of the wanted release before all others.
fn groups(answers: &[Answered]) -> Vec<Group> {
    let mut groups: Vec<(bool, Group)> = Vec::new();
    for answer in answers {
        let is_bad = answer.judged.is_err();
        let what = match (&answer.name, &answer.judged) {
            (Some(name), _) => format!("`{name}`"),
            (None, Err(bad)) => format!("none ({})", bad.detail),
            (None, Ok(())) => "without a name".to_owned(),
        };
        let same = groups.iter_mut().find(|(is_other, group)| *is_other == is_bad && group.what == what);
        let from = answer.address.filter(|_| is_bad).map(|address| format!("`{address}`"));
        match same {
            Some((_, group)) => {
                group.count += 1;
                group.from.extend(from.filter(|from| !group.from.contains(from)));
            }
            None => groups.push((is_bad, Group { what, count: 1, from: from.into_iter().collect() })),
        }
    }
    groups.sort_by_key(|(is_bad, group)| (*is_bad, std::cmp::Reverse(group.count)));
    groups.into_iter().map(|(_, group)| group).collect()
}

fn told(groups: &[Group]) -> String {
    let one = |(place, group): (usize, &Group)| {
        let verb = match (place, group.count) {
            (0, 1) => "answer is",
            (0, _) => "answers are",
            (_, 1) => "is",
            _ => "are",
        };
        let from = if group.from.is_empty() { String::new() } else { format!(" ({})", list(&group.from)) };
        format!("{} {verb} {}{from}", group.count, group.what)
    };
    groups.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

fn connections(answers: &[Answered]) -> String {
    let count = answers.len();
    let mut addresses: Vec<IpAddr> = answers.iter().filter_map(|answer| answer.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    match addresses.len() {
        0 => format!("{count} of {count} new connections"),
        1 => format!("{count} of {count} new connections to the one address of the name"),
        several => format!("{count} of {count} new connections to {several} addresses"),
    }
}

/// Silence may be this machine's fault, unless something was answered.
fn class(bad: &[&Bad], answers: &[Answered]) -> Class {
    let silence = bad.iter().map(|bad| bad.class).find(|class| class.is_silence());
    let other = bad.iter().map(|bad| bad.class).find(|class| !class.is_silence());
    match (other, silence) {
        (Some(class), _) => class,
        (None, Some(silence)) if bad.len() == answers.len() => silence,
        (None, _) => Class::Timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(address: Option<&str>) -> Answered {
        let address = address.map(|address| address.parse().unwrap());
        Answered { address, name: Some("1.4.0".to_owned()), judged: Ok(()) }
    }

    fn old(address: Option<&str>) -> Answered {
        let bad = Bad::new(Class::Body, "it says version `1.3.9`, not `1.4.0`");
        Answered { name: Some("1.3.9".to_owned()), judged: Err(bad), ..good(address) }
    }

    fn none(address: &str, class: Class) -> Answered {
        Answered { name: None, judged: Err(Bad::new(class, "x")), ..good(Some(address)) }
    }

    #[track_caller]
    fn fails(answers: &[Answered], class: Class, detail: &str) {
        assert_eq!(judged(answers, &[]), Err(Bad::new(class, detail)));
    }

    const TEN: [&str; 2] = ["10.0.0.6", "10.0.0.7"];

    #[test]
    fn one_release_on_all_connections_is_good() {
        let said = judged(&[good(None), good(None)], &[]).unwrap();
        assert_eq!(said, "`1.4.0` answers on 2 of 2 new connections");
        let said = judged(&TEN.map(|address| good(Some(address))), &[]).unwrap();
        assert_eq!(said, "`1.4.0` answers on 2 of 2 new connections to 2 addresses");
        let said = judged(&[good(Some(TEN[0]))], &[]).unwrap();
        assert_eq!(said, "`1.4.0` answers on 1 of 1 new connections to the one address of the name");
    }

    #[test]
    fn a_mix_is_told_with_where_the_others_answer() {
        let mut mixed = vec![old(Some(TEN[1])); 7];
        mixed.extend(vec![good(Some(TEN[0])); 13]);
        fails(&mixed, Class::Body, "mixed: 13 answers are `1.4.0`, 7 are `1.3.9` (`10.0.0.7`)");
        fails(&[good(None), old(None)], Class::Body, "mixed: 1 answer is `1.4.0`, 1 is `1.3.9`");
        let broken = [good(Some(TEN[0])), none(TEN[1], Class::Refused)];
        fails(&broken, Class::Refused, "mixed: 1 answer is `1.4.0`, 1 is none (x) (`10.0.0.7`)");
    }

    #[test]
    fn a_third_release_is_told_from_the_one_before() {
        let named = |name: &str| Answered { name: Some(name.to_owned()), ..old(None) };
        let mut before = None;
        assert_eq!(stranger(&mut before, &[none(TEN[0], Class::Refused), good(None)]), None);
        assert_eq!(stranger(&mut before, &[old(None), good(None), old(None)]), None);
        assert_eq!(stranger(&mut before, &[old(None)]), None);
        let told = stranger(&mut before, &[old(None), named("1.5.0")]).unwrap();
        assert_eq!(
            told,
            "`1.5.0` answers, which is neither the release that was shipped nor `1.3.9`, which answered before"
        );
        assert!(stranger(&mut None, &[named("1.5.0"), old(None)]).is_some());
    }

    #[test]
    fn where_all_are_alike_it_is_no_mix() {
        fails(&[old(None)], Class::Body, "it says version `1.3.9`, not `1.4.0`");
        fails(&TEN.map(|address| old(Some(address))), Class::Body, "it says version `1.3.9`, not `1.4.0`");
    }

    #[test]
    fn silence_of_one_is_no_doubt_about_this_machine_while_another_answers() {
        let class = |answers: &[Answered]| judged(answers, &[]).unwrap_err().class;
        assert_eq!(class(&[none(TEN[0], Class::ConnectTimeout)]), Class::ConnectTimeout);
        assert_eq!(class(&[none(TEN[0], Class::ConnectTimeout), good(Some(TEN[1]))]), Class::Timeout);
        assert_eq!(class(&[none(TEN[0], Class::ConnectTimeout), old(Some(TEN[1]))]), Class::Body);
        assert_eq!(class(&[none(TEN[0], Class::ConnectTimeout), none(TEN[1], Class::Tls)]), Class::Tls);
    }

    #[test]
    fn an_address_without_a_route_from_here_is_told_and_is_no_fault_of_the_others() {
        let six = ["[fd00::1]:443".parse().unwrap()];
        let said = judged(&[good(Some(TEN[0]))], &six).unwrap();
        assert!(
            said.ends_with(" to the one address of the name; from here there is no route to `fd00::1`"),
            "{said}"
        );
        let alone = judged(&[], &six).unwrap_err();
        assert_eq!(
            (alone.class, alone.detail.as_str()),
            (Class::NoRoute, "from here there is no route to `fd00::1`")
        );
        assert_eq!(judged(&[], &[]).unwrap_err().class, Class::Dns);
    }
}
