//! The clock as a value: read once at the edge and passed in.

use std::time::{SystemTime, UNIX_EPOCH};

/// A Unix time in words, UTC: with `%Y-%m-%dT%H:%M:%S` for example `2018-01-29T12:00:00`. A time that no calendar has
/// is given as its number.
#[must_use]
pub fn format_utc(unix: u64, format: &str) -> String {
    i64::try_from(unix)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| unix.to_string(), |time| time.strftime(format).to_string())
}

/// One instant, on the wall clock and on the clock that runs since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970-01-01 UTC.
    pub unix: u64,
    /// The kernel's random id of this boot; `-` where it cannot be read.
    pub boot_id: String,
    /// Seconds since boot, suspend included; 0 where it cannot be read.
    pub boot_seconds: u64,
}

impl Now {
    /// Reads the machine's clocks.
    #[must_use]
    pub fn read() -> Self {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic()))
            .unwrap_or_else(|| "-".to_owned());
        let boot_seconds = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
            .ok()
            .and_then(|time| u64::try_from(time.tv_sec()).ok())
            .unwrap_or(0);
        Self {
            unix,
            boot_id,
            boot_seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_in_utc() {
        assert_eq!(format_utc(1_517_227_200, "%Y-%m-%dT%H:%M:%S"), "2018-01-29T12:00:00");
        assert_eq!(format_utc(u64::MAX, "%Y"), u64::MAX.to_string());
    }
}
