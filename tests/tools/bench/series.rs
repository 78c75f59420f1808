//! The results of repeated measurements.

use std::collections::BTreeMap;
use std::fmt;

/// Measurements of one thing, in any unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// Half are below it.
    pub(crate) fn median(&self) -> f64 {
        self.at(1, 2)
    }

    /// How far the middle half lies apart, as a part of the median.
    pub(crate) fn spread(&self) -> f64 {
        (self.at(3, 4) - self.at(1, 4)) / self.median()
    }

    fn highest(&self) -> f64 {
        self.at(1, 1)
    }

    fn at(&self, part: usize, of: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * part / of).copied().unwrap_or(f64::NAN)
    }
}

/// The median, and how far the middle half of all lies around it.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(1);
        let median = self.median();
        match self.spread() * 50.0 {
            half if half < 1000.0 => write!(f, "{median:.precision$} ±{half:.0} %"),
            // Two things, now one and now the other: no spread says that.
            _ => write!(f, "{median:.precision$}, or {:.precision$}", self.highest()),
        }
    }
}

/// Several things, each measured several times.
#[derive(Debug, Default)]
pub(crate) struct AllSeries(BTreeMap<String, Series>);

impl AllSeries {
    pub(crate) fn add(&mut self, what: &str, value: f64) {
        self.0.entry(what.to_owned()).or_default().add(value);
    }

    pub(crate) fn of(&self, what: &str) -> &Series {
        self.0.get(what).expect("it was measured")
    }

    /// How much more the first takes than the second: the median of the ratios would need pairs, this one is of
    /// medians.
    pub(crate) fn ratio(&self, what: &str, to: &str) -> f64 {
        self.of(what).median() / self.of(to).median()
    }
}
