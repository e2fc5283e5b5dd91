//! The lines of a run, `SUITE.FIGURE VALUE UNIT`, and what a series of measurements says.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use common::cli::Messages;

/// A run of one suite: what it is told, and what it says.
pub(crate) struct Run<'a> {
    /// Where its data lies.
    pub(crate) directory: PathBuf,
    /// How often things are measured; fewer times what takes long.
    pub(crate) rounds: usize,
    /// What is being done now.
    pub(crate) messages: &'a Messages,
    /// What was measured.
    pub(crate) figures: Figures<'a>,
}

/// Prints the figures of one suite.
pub(crate) struct Figures<'a> {
    suite: &'static str,
    out: &'a mut dyn Write,
    missing: Vec<String>,
}

impl<'a> Figures<'a> {
    pub(crate) fn new(suite: &'static str, out: &'a mut dyn Write) -> Self {
        Self {
            suite,
            out,
            missing: Vec::new(),
        }
    }

    /// Prints one figure.
    pub(crate) fn print(&mut self, figure: &str, value: f64, unit: &str) -> std::io::Result<()> {
        let digits = if value < 1.0 { 3 } else { 1 };
        writeln!(self.out, "{}.{figure} {value:.digits$} {unit}", self.suite)?;
        self.out.flush()
    }

    /// Prints a time in milliseconds.
    pub(crate) fn milliseconds(&mut self, figure: &str, time: Duration) -> std::io::Result<()> {
        self.print(figure, time.as_secs_f64() * 1000.0, "ms")
    }

    /// Prints how many times slower the peer is.
    pub(crate) fn ratio(&mut self, figure: &str, peer: Duration, ours: Duration) -> std::io::Result<()> {
        self.print(figure, peer.as_secs_f64() / ours.as_secs_f64(), "ratio")
    }

    /// Notes a peer that is not on this machine.
    pub(crate) fn leave_out(&mut self, peer: &str) {
        self.missing.push(peer.to_owned());
    }

    /// The peers that are not on this machine.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str)
    }
}

/// The measured times of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<Duration>);

impl Series {
    pub(crate) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that this part (0 to 1) of the measurements does not exceed; zero without any.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let below = sorted
            .iter()
            .enumerate()
            .filter(|(index, _)| *index as f64 + 1.0 >= part * self.0.len() as f64);
        below.map(|(_, time)| *time).next().unwrap_or_default()
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> Duration {
        self.quantile(0.5)
    }
}

impl FromIterator<Duration> for Series {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let series: Series = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(series.median(), Duration::from_millis(100));
        assert_eq!(series.quantile(0.99), Duration::from_millis(198));
        assert_eq!(Series::default().median(), Duration::ZERO);
    }

    #[test]
    fn a_figure_is_one_line_of_three_words() {
        let mut out = Vec::new();
        let mut figures = Figures::new("master", &mut out);
        figures.milliseconds("a", Duration::from_micros(12_340)).unwrap();
        figures
            .ratio("b", Duration::from_millis(10), Duration::from_millis(500))
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "master.a 12.3 ms\nmaster.b 0.020 ratio\n"
        );
    }
}
