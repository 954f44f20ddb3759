//! Metrics as they were at one moment, added up for people: the very series that `/metrics` shows, and no second count.

use std::collections::BTreeMap;

use prometheus::proto::{Metric as Series, MetricFamily, MetricType};

use super::super::names::Metric;

/// All counters and gauges of a moment.
pub struct Reading(Vec<MetricFamily>);

impl Reading {
    pub(super) fn of(families: Vec<MetricFamily>) -> Self {
        Self(families)
    }

    /// The sum over all series; `None` where nothing shows the metric, such as the journal's where there is none.
    pub fn total(&self, metric: &Metric) -> Option<f64> {
        let family = self.family(metric)?;
        Some(family.get_metric().iter().map(|series| value(family, series)).sum())
    }

    /// Sums by the values of a label.
    #[expect(clippy::float_arithmetic, reason = "what is shown is a measurement; the money is in the ledger")]
    pub fn by(&self, metric: &Metric, label: &str) -> BTreeMap<String, f64> {
        let mut sums = BTreeMap::<String, f64>::new();
        let all = self.family(metric).into_iter().flat_map(|family| family.get_metric().iter().map(move |series| (family, series)));
        for (family, series) in all {
            let named = series.get_label().iter().find(|pair| pair.name() == label);
            *sums.entry(named.map(|pair| pair.value().to_owned()).unwrap_or_default()).or_default() += value(family, series);
        }
        sums
    }

    fn family(&self, metric: &Metric) -> Option<&MetricFamily> {
        let name = metric.prometheus();
        self.0.iter().find(|family| family.name() == name)
    }
}

/// A histogram has no one value.
fn value(family: &MetricFamily, series: &Series) -> f64 {
    match family.get_field_type() {
        MetricType::COUNTER => series.get_counter().get_value(),
        MetricType::GAUGE => series.get_gauge().get_value(),
        MetricType::HISTOGRAM | MetricType::SUMMARY | MetricType::UNTYPED => 0.0,
    }
}
