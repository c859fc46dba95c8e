//! Moment's date formats (`YYYYMMDD-HHmmss`, `Do MMMM`), in English.

use jiff::Zoned;
use jiff::tz::Offset;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Every token, in an order in which no token stands behind one that begins it.
const TOKENS: [&str; 62] = [
    "Hmmss", "hmmss", "Hmm", "hmm", "MMMM", "MMM", "MM", "Mo", "M", "Do", "DDDo", "DDDD", "DDD", "DD", "D",
    "dddd", "ddd", "dd", "do", "d", "wo", "ww", "w", "Wo", "WW", "W", "Qo", "Q", "NNNNN", "NNNN", "NNN",
    "NN", "N", "YYYYYY", "YYYYY", "YYYY", "YY", "Y", "yyyy", "yyy", "yy", "yo", "y", "ggggg", "gggg", "gg",
    "GGGGG", "GGGG", "GG", "e", "E", "a", "A", "hh", "h", "HH", "H", "kk", "k", "X", "x", "S",
];
/// The rest of them; minutes, seconds and zones.
const MORE_TOKENS: [&str; 8] = ["mm", "m", "ss", "s", "zz", "z", "ZZ", "Z"];
/// What stands for other formats.
const LONG: [(&str, &str); 10] = [
    ("LTS", "h:mm:ss A"),
    ("LT", "h:mm A"),
    ("LLLL", "dddd, MMMM D, YYYY h:mm A"),
    ("LLL", "MMMM D, YYYY h:mm A"),
    ("LL", "MMMM D, YYYY"),
    ("L", "MM/DD/YYYY"),
    ("llll", "ddd, MMM D, YYYY h:mm A"),
    ("lll", "MMM D, YYYY h:mm A"),
    ("ll", "MMM D, YYYY"),
    ("l", "M/D/YYYY"),
];

/// The moment in this format. Text in `[...]` and what is no token stand for themselves.
pub(super) fn format(format: &str, at: &Zoned) -> String {
    let mut out = String::new();
    for piece in Pieces(format) {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Long(inner) => out.push_str(&self::format(inner, at)),
            Piece::Fraction(digits) => {
                let nanoseconds = format!("{:09}", at.subsec_nanosecond());
                out.push_str(nanoseconds.get(..digits).unwrap_or(&nanoseconds));
            }
            Piece::Token(name) => out.push_str(&token(name, at)),
        }
    }
    out
}

/// The format that is used where none is given: ISO 8601, with `Z` for UTC.
pub(super) fn iso(at: &Zoned) -> String {
    let is_utc = at.offset() == Offset::UTC;
    format(if is_utc { "YYYY-MM-DDTHH:mm:ss[Z]" } else { "YYYY-MM-DDTHH:mm:ssZ" }, at)
}

enum Piece<'a> {
    Literal(&'a str),
    Token(&'static str),
    Long(&'static str),
    /// So many digits of the second.
    Fraction(usize),
}

/// A format, piece by piece.
struct Pieces<'a>(&'a str);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let first = self.0.chars().next()?;
        if first == '['
            && let Some(end) = self.0.find(']')
            && self.0.get(1..end).is_some_and(|inner| !inner.contains('['))
        {
            return Some(Piece::Literal(self.take(end + 1)?.trim_start_matches('[').trim_end_matches(']')));
        }
        // A backslash makes the character behind it stand for itself.
        if first == '\\' && 1 < self.0.len() {
            let escaped = self.0.chars().nth(1)?;
            return Some(Piece::Literal(self.take(1 + escaped.len_utf8())?.trim_start_matches('\\')));
        }
        let begins = |name: &&str| self.0.starts_with(*name);
        if let Some((name, inner)) = LONG.into_iter().find(|(name, _)| begins(name)) {
            self.take(name.len())?;
            return Some(Piece::Long(inner));
        }
        if first == 'S' {
            let digits = self.0.chars().take_while(|c| *c == 'S').count().min(9);
            self.take(digits)?;
            return Some(Piece::Fraction(digits));
        }
        if let Some(name) = TOKENS.into_iter().chain(MORE_TOKENS).find(begins) {
            self.take(name.len())?;
            return Some(Piece::Token(name));
        }
        self.take(first.len_utf8()).map(Piece::Literal)
    }
}

impl<'a> Pieces<'a> {
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

fn token(name: &str, at: &Zoned) -> String {
    match name.chars().next() {
        Some('M' | 'D' | 'd' | 'Q' | 'E' | 'e') => day(name, at),
        Some('Y' | 'y' | 'N' | 'g' | 'G' | 'w' | 'W') => year_or_week(name, at),
        Some(_) | None => time(name, at),
    }
}

/// Months, quarters, days of the month, the year and the week.
fn day(name: &str, at: &Zoned) -> String {
    let (month, day, of_year) = (i64::from(at.month()), i64::from(at.day()), i64::from(at.day_of_year()));
    let weekday = i64::from(at.weekday().to_sunday_zero_offset());
    let named = |names: &[&'static str], at: i64| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    let short = |name: &str, length: usize| name.chars().take(length).collect::<String>();
    match name {
        "M" => month.to_string(),
        "Mo" => ordinal(month),
        "MM" => format!("{month:02}"),
        "MMM" => short(named(&MONTHS, month - 1), 3),
        "MMMM" => named(&MONTHS, month - 1).to_owned(),
        "Q" => ((month + 2) / 3).to_string(),
        "Qo" => ordinal((month + 2) / 3),
        "D" => day.to_string(),
        "Do" => ordinal(day),
        "DD" => format!("{day:02}"),
        "DDD" => of_year.to_string(),
        "DDDo" => ordinal(of_year),
        "DDDD" => format!("{of_year:03}"),
        "do" => ordinal(weekday),
        "dd" => short(named(&DAYS, weekday), 2),
        "ddd" => short(named(&DAYS, weekday), 3),
        "dddd" => named(&DAYS, weekday).to_owned(),
        "E" => at.weekday().to_monday_one_offset().to_string(),
        // `d` and `e`: the week begins on Sunday.
        _ => weekday.to_string(),
    }
}

fn year_or_week(name: &str, at: &Zoned) -> String {
    let year = i64::from(at.year());
    let (era, in_era) = if year <= 0 { ("BC", 1 - year) } else { ("AD", year) };
    let iso = at.date().iso_week_date();
    let (iso_year, iso_week) = (i64::from(iso.year()), i64::from(iso.week()));
    let (week_year, week) = sunday_week(at);
    match name {
        "YY" => format!("{:02}", year.rem_euclid(100)),
        "YYYY" | "Y" => format!("{year:04}"),
        "YYYYY" => format!("{year:05}"),
        "YYYYYY" => format!("{year:+07}"),
        "N" | "NN" | "NNN" | "NNNNN" => era.to_owned(),
        "NNNN" => if era == "AD" { "Anno Domini" } else { "Before Christ" }.to_owned(),
        "yo" => ordinal(in_era),
        "y" => in_era.to_string(),
        "yy" => format!("{in_era:02}"),
        "yyy" => format!("{in_era:03}"),
        "yyyy" => format!("{in_era:04}"),
        "gg" => format!("{:02}", week_year.rem_euclid(100)),
        "gggg" => format!("{week_year:04}"),
        "ggggg" => format!("{week_year:05}"),
        "GG" => format!("{:02}", iso_year.rem_euclid(100)),
        "GGGG" => format!("{iso_year:04}"),
        "GGGGG" => format!("{iso_year:05}"),
        "w" => week.to_string(),
        "wo" => ordinal(week),
        "ww" => format!("{week:02}"),
        "Wo" => ordinal(iso_week),
        "WW" => format!("{iso_week:02}"),
        // `W`.
        _ => iso_week.to_string(),
    }
}

/// Hours, minutes, seconds, zones and seconds since 1970.
fn time(name: &str, at: &Zoned) -> String {
    let (hour, minute, second) = (i64::from(at.hour()), i64::from(at.minute()), i64::from(at.second()));
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let twenty_four = if hour == 0 { 24 } else { hour };
    match name {
        "A" => if hour < 12 { "AM" } else { "PM" }.to_owned(),
        "a" => if hour < 12 { "am" } else { "pm" }.to_owned(),
        "H" => hour.to_string(),
        "HH" => format!("{hour:02}"),
        "h" => twelve.to_string(),
        "hh" => format!("{twelve:02}"),
        "k" => twenty_four.to_string(),
        "kk" => format!("{twenty_four:02}"),
        "Hmm" => format!("{hour}{minute:02}"),
        "hmm" => format!("{twelve}{minute:02}"),
        "Hmmss" => format!("{hour}{minute:02}{second:02}"),
        "hmmss" => format!("{twelve}{minute:02}{second:02}"),
        "m" => minute.to_string(),
        "mm" => format!("{minute:02}"),
        "s" => second.to_string(),
        "ss" => format!("{second:02}"),
        "X" => at.timestamp().as_second().to_string(),
        "x" => at.timestamp().as_millisecond().to_string(),
        "Z" => at.strftime("%:z").to_string(),
        "ZZ" => at.strftime("%z").to_string(),
        // `z` and `zz`.
        _ => at.strftime("%Z").to_string(),
    }
}

/// Year and week where weeks begin on Sunday and the first holds January 1st.
fn sunday_week(at: &Zoned) -> (i64, i64) {
    let year = i64::from(at.year());
    let since_sunday = i64::from(at.weekday().to_sunday_zero_offset());
    // The Saturday of this week decides: if it lies in the next year, so does the week.
    let saturday = i64::from(at.day_of_year()) + (6 - since_sunday);
    let days = if at.date().in_leap_year() { 366 } else { 365 };
    if days < saturday { (year + 1, 1) } else { (year, (saturday + 6) / 7) }
}

/// `1st`, `2nd`, `3rd`, `4th`, `11th`.
fn ordinal(number: i64) -> String {
    let is_teen = number % 100 / 10 == 1;
    let end = match number % 10 {
        1 if !is_teen => "st",
        2 if !is_teen => "nd",
        3 if !is_teen => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::{TimeZone, TimeZoneDatabase};

    use super::*;

    #[track_caller]
    fn check(time: &str, zone: &str, cases: &[(&str, &str)]) {
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let at = time.parse::<Timestamp>().unwrap().to_zoned(zone);
        for (given, expected) in cases {
            assert_eq!(format(given, &at), *expected, "{given}");
        }
    }

    #[test]
    fn dates_have_every_form() {
        check(
            "2020-01-10T15:25:50.123456789Z",
            "UTC",
            &[
                ("YYYYMMDD", "20200110"),
                ("dddd, MMMM Do YYYY, h:mm:ss a", "Friday, January 10th 2020, 3:25:50 pm"),
                ("M Mo MM MMM", "1 1st 01 Jan"),
                ("D DD DDD DDDo DDDD", "10 10 10 10th 010"),
                ("d do dd ddd e E", "5 5th Fr Fri 5 5"),
                ("w wo ww W Wo WW", "2 2nd 02 2 2nd 02"),
                ("gg gggg GG GGGG ggggg GGGGG", "20 2020 20 2020 02020 02020"),
                ("YY YYYYY YYYYYY Y y N NNNN", "20 02020 +002020 2020 2020 AD Anno Domini"),
                ("Q Qo", "1 1st"),
                ("A H HH h hh k kk m s", "PM 15 15 3 03 15 15 25 50"),
                ("Hmm hmm Hmmss hmmss", "1525 325 152550 32550"),
                ("S SS SSS SSSS SSSSSSSSS", "1 12 123 1234 123456789"),
                ("X x", "1578669950 1578669950123"),
                ("z Z ZZ", "UTC +00:00 +0000"),
                ("LT LTS", "3:25 PM 3:25:50 PM"),
                ("L l", "01/10/2020 1/10/2020"),
                ("LLLL", "Friday, January 10, 2020 3:25 PM"),
                ("llll", "Fri, Jan 10, 2020 3:25 PM"),
            ],
        );
    }

    #[test]
    fn what_is_no_token_stands_for_itself() {
        let iso = ("YYYY-MM-DDTHH:mm:ss.SSS[Z]", "2020-01-10T15:25:50.000Z");
        check("2020-01-10T15:25:50Z", "UTC", &[iso, ("[build of] YYYY", "build of 2020")]);
        check(
            "2020-01-10T15:25:50Z",
            "UTC",
            &[("[", "["), ("ü_", "ü_"), ("", ""), ("\\D D", "D 10"), ("\\", "\\")],
        );
    }

    #[test]
    fn a_zone_moves_the_clock_and_knows_summer() {
        check("2020-01-10T00:30:00Z", "Asia/Tokyo", &[("YYYYMMDD-HHmmss z Z", "20200110-093000 JST +09:00")]);
        check("2020-07-10T22:30:00Z", "Europe/Berlin", &[("YYYY-MM-DD HH ZZ z", "2020-07-11 00 +0200 CEST")]);
        check("2020-01-10T00:30:00Z", "America/St_Johns", &[("Z", "-03:30")]);
    }

    #[test]
    fn weeks_turn_with_the_year() {
        check("2020-12-31T00:00:00Z", "UTC", &[("gggg-ww GGGG-WW", "2021-01 2020-53")]);
        check("2021-01-03T00:00:00Z", "UTC", &[("gggg-ww GGGG-WW e E", "2021-02 2020-53 0 7")]);
        check("2023-01-01T00:00:00Z", "UTC", &[("gggg-ww GGGG-WW", "2023-01 2022-52")]);
        check("2022-12-31T00:00:00Z", "UTC", &[("gggg-ww GGGG-WW DDDD", "2022-53 2022-52 365")]);
    }

    #[test]
    fn midnight_and_noon_are_twelve() {
        check("2020-01-10T00:05:00Z", "UTC", &[("h:mm A H k kk", "12:05 AM 0 24 24")]);
        check("2020-01-10T12:05:00Z", "UTC", &[("hh:mm a", "12:05 pm")]);
    }

    #[test]
    fn no_format_is_iso() {
        let at = "2020-01-10T00:30:00Z".parse::<Timestamp>().unwrap();
        assert_eq!(iso(&at.to_zoned(TimeZone::UTC)), "2020-01-10T00:30:00Z");
        let tokyo = TimeZoneDatabase::bundled().get("Asia/Tokyo").unwrap();
        assert_eq!(iso(&at.to_zoned(tokyo)), "2020-01-10T09:30:00+09:00");
    }

    #[test]
    fn ordinals_are_english() {
        let all: Vec<_> = [1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31, 111].map(ordinal).into();
        assert_eq!(all.join(" "), "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 31st 111th");
    }
}
