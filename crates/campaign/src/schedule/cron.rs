//! A cron expression with five fields: minute, hour, day of the month, month, day of the week.
//!
//! A field is `*`, a number, a range `1-5`, or several of these separated by commas. `*` and a range can have
//! a step: `*/15`. Months and days of the week also have English names, and Sunday is 0 and 7. If one of the
//! two fields for days begins with `*` (including `*/2`), a day must match both fields. Otherwise a day that
//! matches either is due. Extensions that only some programs know (seconds, years, `@daily`, `L`, `W`, `#`,
//! `?`) are rejected, because their meaning differs between programs.
//!
//! `croner` decides which moments are due. The fields are parsed here first, because `croner` accepts these
//! extensions and its errors do not name the field: a rejected expression names its field and what is allowed
//! there. `croner` then gets numbers alone, so that its own dialect has no effect.
//!
//! Source: `crontab(5)`.

use jiff::civil::DateTime;

/// A cron expression that is due on at least one day.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cron(Box<croner::Cron>);

impl Cron {
    /// Reads an expression. The error says what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LEN {
            return Err(format!("is {} bytes long; the limit is {MAX_LEN}", text.len()));
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        if let Some(plain) = plain_of_nickname(text) {
            return Err(format!("is a nickname of some cron programs; write `{plain}`"));
        }
        if fields.len() != FIELDS.len() {
            return Err(format!(
                "must have the five fields minute, hour, day of the month, month and day of the week, but has {}",
                fields.len()
            ));
        }
        let is_both = [fields.get(2), fields.get(4)]
            .into_iter()
            .flatten()
            .any(|days| days.starts_with('*'));
        let fields = fields.iter().zip(&FIELDS).map(|(text, field)| field.plain(text));
        let plain = fields.collect::<Result<Vec<String>, String>>()?.join(" ");
        let cron = croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Disallowed)
            .year(croner::parser::Year::Disallowed)
            .dom_and_dow(is_both)
            .build()
            .parse(&plain);
        let cron = cron.map_err(|error| format!("is no cron expression: {error}"))?;
        if !is_due_some_day(&cron) {
            return Err("is never due: no month that it names has such a day".to_owned());
        }
        Ok(Self(Box::new(cron)))
    }

    /// Returns the first time after `civil` at which the expression is due.
    pub(super) fn after(&self, civil: DateTime) -> Option<DateTime> {
        self.0.find_next_occurrence(&civil, false).ok()
    }
}

/// The five fields that a nickname such as `@daily` stands for.
fn plain_of_nickname(text: &str) -> Option<&'static str> {
    let name = text.trim().strip_prefix('@')?.to_ascii_lowercase();
    match name.as_str() {
        "yearly" | "annually" => Some("0 0 1 1 *"),
        "monthly" => Some("0 0 1 * *"),
        "weekly" => Some("0 0 * * 0"),
        "daily" | "midnight" => Some("0 0 * * *"),
        "hourly" => Some("0 * * * *"),
        _ => None,
    }
}

/// Whether a month has a matching day.
///
/// If the day of the week alone is enough, every month has one. If both fields must match, a month with that
/// day of the month is enough: the day falls on each day of the week in some year.
fn is_due_some_day(cron: &croner::Cron) -> bool {
    let pattern = &cron.pattern;
    let first = pattern.days.values().into_iter().min();
    let has_it = |month: u16| {
        let length = match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        first.is_some_and(|first| first <= length)
    };
    !pattern.matches_dom_and_dow() || pattern.months.values().into_iter().any(has_it)
}

/// A field of an expression.
struct Field {
    name: &'static str,
    first: u8,
    last: u8,
    /// The names of the numbers, from `first` on.
    words: &'static [&'static str],
}

impl Field {
    /// Returns the field's text with numbers in place of names.
    fn plain(&self, text: &str) -> Result<String, String> {
        let items = text.split(',').map(|item| self.item(item));
        Ok(items.collect::<Result<Vec<String>, String>>()?.join(","))
    }

    fn item(&self, item: &str) -> Result<String, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let plain = match range.split_once('-') {
            Some((first, last)) => {
                let (first, last) = (self.number(first)?, self.number(last)?);
                // A range of days may end with Sunday, which is also the first day.
                let last = if last == 0 && first > 0 && self.last == SUNDAY {
                    SUNDAY
                } else {
                    last
                };
                if first > last {
                    return Err(format!(
                        "the {} has a range, `{range}`, that ends before it begins",
                        self.name
                    ));
                }
                format!("{first}-{last}")
            }
            None if range == "*" => "*".to_owned(),
            None if step.is_some() => {
                return Err(format!(
                    "the {} is `{item}`, but a step needs `*` or a range before it",
                    self.name
                ));
            }
            None => self.number(range)?.to_string(),
        };
        match step.map(digits) {
            None | Some(Some(1)) => Ok(plain),
            Some(Some(step)) if step > 1 && step <= self.last => Ok(format!("{plain}/{step}")),
            Some(_) => Err(format!(
                "the {} must have a step from 1 to {}, as in `*/5`, but is `{item}`",
                self.name, self.last
            )),
        }
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let number = match word {
            Some(place) => u8::try_from(place).ok().map(|place| self.first + place),
            None => digits(text).filter(|number| (self.first..=self.last).contains(number)),
        };
        number.ok_or_else(|| {
            // Names have three letters.
            let short = text.get(..3).unwrap_or_default();
            if let Some(word) = self.words.iter().find(|word| word.eq_ignore_ascii_case(short)) {
                return format!("the {} is `{text}`; write `{word}`", self.name);
            }
            format!(
                "the {} must be from {} to {}, but is `{text}`",
                self.name, self.first, self.last
            )
        })
    }
}

/// Reads a number of one or two digits.
fn digits(text: &str) -> Option<u8> {
    let is_number = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        first: 0,
        last: 59,
        words: &[],
    },
    Field {
        name: "hour",
        first: 0,
        last: 23,
        words: &[],
    },
    Field {
        name: "day of the month",
        first: 1,
        last: 31,
        words: &[],
    },
    Field {
        name: "month",
        first: 1,
        last: 12,
        words: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    },
    Field {
        name: "day of the week",
        first: 0,
        last: SUNDAY,
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
];

/// The number of Sunday at the end of a range.
const SUNDAY: u8 = 7;

/// The most bytes of an expression. All 60 minutes listed one by one fit.
const MAX_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(text: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::read(text).unwrap();
        let after: DateTime = after.parse().unwrap();
        let times = std::iter::successors(cron.after(after), |civil| cron.after(*civil));
        times.take(count).map(|time| time.to_string()).collect()
    }

    #[test]
    fn an_expression_is_due_at_its_times() {
        let table: [(&str, &str, &[&str]); 22] = [
            (
                "*/15 9-10 * * *",
                "2026-03-02T09:40",
                &["2026-03-02T09:45:00", "2026-03-02T10:00:00"],
            ),
            ("0 9 * * 1", "2026-03-02T09:00", &["2026-03-09T09:00:00"]),
            ("0 9 * * MON-fri", "2026-03-06T09:00", &["2026-03-09T09:00:00"]),
            (
                "0 9 * * fri-sun",
                "2026-03-06T09:00",
                &[
                    "2026-03-07T09:00:00",
                    "2026-03-08T09:00:00",
                    "2026-03-13T09:00:00",
                ],
            ),
            ("0 9 * * 7", "2026-03-02T00:00", &["2026-03-08T09:00:00"]),
            (
                "0 0 29 feb *",
                "2026-01-01T00:00",
                &["2028-02-29T00:00:00", "2032-02-29T00:00:00"],
            ),
            (
                "0 0 31 * *",
                "2026-01-31T00:00",
                &["2026-03-31T00:00:00", "2026-05-31T00:00:00"],
            ),
            // One day or the other.
            (
                "0 0 13 * 5",
                "2026-03-01T00:00",
                &[
                    "2026-03-06T00:00:00",
                    "2026-03-13T00:00:00",
                    "2026-03-20T00:00:00",
                ],
            ),
            // One of the fields begins with a star: the day must match both.
            (
                "0 9 1-7 * */7",
                "2026-12-01T00:00",
                &["2026-12-06T09:00:00", "2027-01-03T09:00:00"],
            ),
            (
                "0 9 */2 * 1",
                "2026-12-01T00:00",
                &[
                    "2026-12-07T09:00:00",
                    "2026-12-21T09:00:00",
                    "2027-01-11T09:00:00",
                ],
            ),
            (
                "0 9 */7 * 1-5",
                "2026-12-01T00:00",
                &[
                    "2026-12-01T09:00:00",
                    "2026-12-08T09:00:00",
                    "2026-12-15T09:00:00",
                    "2026-12-22T09:00:00",
                    "2026-12-29T09:00:00",
                    "2027-01-01T09:00:00",
                ],
            ),
            (
                "0 9 29-31 * */2",
                "2026-12-01T00:00",
                &[
                    "2026-12-29T09:00:00",
                    "2026-12-31T09:00:00",
                    "2027-01-30T09:00:00",
                ],
            ),
            (
                "0 9 * * */3",
                "2026-12-01T00:00",
                &[
                    "2026-12-02T09:00:00",
                    "2026-12-05T09:00:00",
                    "2026-12-06T09:00:00",
                ],
            ),
            (
                "0 9 */10 * *",
                "2026-12-02T00:00",
                &[
                    "2026-12-11T09:00:00",
                    "2026-12-21T09:00:00",
                    "2026-12-31T09:00:00",
                    "2027-01-01T09:00:00",
                ],
            ),
            (
                "0 0 29 2 */7",
                "2026-01-01T00:00",
                &["2032-02-29T00:00:00", "2060-02-29T00:00:00"],
            ),
            // None does: a day that matches one of them is due.
            (
                "0 9 1-7 * 0",
                "2026-12-01T00:00",
                &[
                    "2026-12-01T09:00:00",
                    "2026-12-02T09:00:00",
                    "2026-12-03T09:00:00",
                    "2026-12-04T09:00:00",
                    "2026-12-05T09:00:00",
                    "2026-12-06T09:00:00",
                    "2026-12-07T09:00:00",
                    "2026-12-13T09:00:00",
                ],
            ),
            (
                "0 9 1-31/10 * 7",
                "2026-12-01T10:00",
                &[
                    "2026-12-06T09:00:00",
                    "2026-12-11T09:00:00",
                    "2026-12-13T09:00:00",
                ],
            ),
            (
                "0 9 1 * sun-tue",
                "2026-12-01T10:00",
                &[
                    "2026-12-06T09:00:00",
                    "2026-12-07T09:00:00",
                    "2026-12-08T09:00:00",
                ],
            ),
            // The week's Sunday at both of its ends.
            (
                "0 9 * * 0,7",
                "2026-12-01T00:00",
                &["2026-12-06T09:00:00", "2026-12-13T09:00:00"],
            ),
            (
                "0 9 * * 6-7",
                "2026-12-01T00:00",
                &[
                    "2026-12-05T09:00:00",
                    "2026-12-06T09:00:00",
                    "2026-12-12T09:00:00",
                ],
            ),
            (
                "0 0 1 */5 *",
                "2026-12-01T00:00",
                &[
                    "2027-01-01T00:00:00",
                    "2027-06-01T00:00:00",
                    "2027-11-01T00:00:00",
                ],
            ),
            (
                "5,35 0-23/12 1 JAN,JUL */1",
                "2026-01-01T00:10",
                &["2026-01-01T00:35:00", "2026-01-01T12:05:00"],
            ),
        ];
        for (text, after, expected) in table {
            assert_eq!(times(text, after, expected.len()), expected, "{text}");
        }
    }

    #[test]
    fn the_time_that_is_asked_from_is_not_due_again() {
        assert_eq!(
            times("0 9 * * *", "2026-03-02T09:00:00.001", 1),
            ["2026-03-03T09:00:00"]
        );
        assert_eq!(
            times("0 9 * * *", "2026-03-02T08:59:59.999", 1),
            ["2026-03-02T09:00:00"]
        );
    }

    #[test]
    fn what_is_no_plain_expression_is_refused_with_the_field_that_is_wrong() {
        let long = format!("{} * * * *", "1,".repeat(MAX_LEN));
        for (text, expected) in [
            (
                "",
                "must have the five fields minute, hour, day of the month, month and day of the week, but has 0",
            ),
            ("* * * *", "but has 4"),
            ("0 * * * * *", "but has 6"),
            ("0 0 * * * * 2030", "but has 7"),
            ("@daily", "is a nickname of some cron programs; write `0 0 * * *`"),
            ("@Hourly", "write `0 * * * *`"),
            ("@reboot", "but has 1"),
            ("0 9 * * Monday", "the day of the week is `Monday`; write `MON`"),
            (
                "0 9 * * mon-Friday",
                "the day of the week is `Friday`; write `FRI`",
            ),
            ("0 9 1 january *", "the month is `january`; write `JAN`"),
            ("60 * * * *", "the minute must be from 0 to 59, but is `60`"),
            ("0 24 * * *", "the hour must be from 0 to 23, but is `24`"),
            (
                "0 0 0 * *",
                "the day of the month must be from 1 to 31, but is `0`",
            ),
            (
                "0 0 L * *",
                "the day of the month must be from 1 to 31, but is `L`",
            ),
            ("0 0 15W * *", "but is `15W`"),
            ("0 0 ? * *", "but is `?`"),
            ("0 0 * 13 *", "the month must be from 1 to 12, but is `13`"),
            ("0 0 * jab *", "but is `jab`"),
            ("0 0 * * 8", "the day of the week must be from 0 to 7, but is `8`"),
            ("0 0 * * 5#2", "but is `5#2`"),
            ("0 0 * * +5", "but is `+5`"),
            ("JAN * * * *", "the minute must be from 0 to 59, but is `JAN`"),
            ("1,,2 * * * *", "but is ``"),
            (", * * * *", "but is ``"),
            (
                "5-1 * * * *",
                "the minute has a range, `5-1`, that ends before it begins",
            ),
            ("1-2-3 * * * *", "but is `2-3`"),
            (
                "5/10 * * * *",
                "the minute is `5/10`, but a step needs `*` or a range before it",
            ),
            ("/10 * * * *", "the minute is `/10`, but a step needs"),
            (
                "*/0 * * * *",
                "the minute must have a step from 1 to 59, as in `*/5`, but is `*/0`",
            ),
            ("*/x * * * *", "but is `*/x`"),
            ("*/60 * * * *", "but is `*/60`"),
            (
                "0 0 30 2 *",
                "is never due: no month that it names has such a day",
            ),
            ("0 0 31 4,6,9,11 *", "is never due"),
            ("0 0 30 2 */2", "is never due"),
            (&long, "bytes long; the limit is 256"),
        ] {
            let error = Cron::read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "[-*/,0-9A-Za-z@#? ]{0,40}") {
            let _ = Cron::read(&text);
        }

        #[test]
        fn an_expression_that_is_read_is_due_in_order(
            fields in prop::collection::vec(prop_oneof!["\\*", "\\*/[1-7]", "[1-7]", "[1-3]-[4-7](/2)?", "[1-7],[1-7]"], 5),
        ) {
            let cron = Cron::read(&fields.join(" ")).unwrap();
            let mut civil = DateTime::constant(2026, 1, 1, 0, 0, 0, 0);
            for _ in 0..20 {
                let next = cron.after(civil).unwrap();
                prop_assert!(next > civil && next.second() == 0);
                civil = next;
            }
        }
    }
}
