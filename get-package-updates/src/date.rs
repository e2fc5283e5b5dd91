//! Dates on the command line.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A Unix time out of `2018-01-29`, `2018-01-29T12:00:00` (both UTC), `2018-01-29T12:00:00+01:00` or `@1517227200`.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let seconds = match text.strip_prefix('@') {
        Some(number) => number.parse().ok(),
        None => instant(text).ok().map(Timestamp::as_second),
    };
    seconds
        .and_then(|seconds: i64| u64::try_from(seconds).ok())
        .ok_or_else(|| "a date is like 2018-01-29, 2018-01-29T12:00:00 (UTC) or @1517227200".to_owned())
}

fn instant(text: &str) -> Result<Timestamp, jiff::Error> {
    match text.parse() {
        Ok(instant) => Ok(instant),
        Err(_) => Ok(text.parse::<DateTime>()?.to_zoned(TimeZone::UTC)?.timestamp()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_unless_they_say_otherwise() {
        for (text, unix) in [
            ("2018-01-29", 1_517_184_000),
            ("2018-01-29T12:00:00", 1_517_227_200),
            ("2018-01-29 12:00:00", 1_517_227_200),
            ("2018-01-29T12:00:00Z", 1_517_227_200),
            ("2018-01-29T13:00:00+01:00", 1_517_227_200),
            ("@1517227200", 1_517_227_200),
        ] {
            assert_eq!(parse(text), Ok(unix), "{text}");
        }
        for text in ["", "yesterday", "2018-13-01", "@-1", "1960-01-01", "@x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
