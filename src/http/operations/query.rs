//! What an address of the page asks for. Every value is checked here, once; ids are safe in an address as they are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::domain::ids::{GenerationId, IdError, SubjectId, UserId};
use crate::domain::ledger::HistoryPlace;

/// Between the instant and the id of a place in a history: no id can have it.
const BETWEEN: char = '~';

/// The parameters of all addresses, as they came. Empty ones are as good as absent: a form sends every field. One that is there twice is
/// refused, so that whoever guards the page and the page itself can never read two different ones.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Parameters {
    span: Option<String>,
    refresh: Option<String>,
    pub(super) subject: Option<String>,
    user: Option<String>,
    after: Option<String>,
    before: Option<String>,
}

/// The time that is looked at, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Span {
    Hour,
    Day,
    Week,
    Month,
}

/// Whether the page loads itself again. A page that moves under a screen reader is no help, so it can be told not to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    On,
    Off,
}

/// The subject that is looked up.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub subject: SubjectId,
    pub user: Option<UserId>,
    /// Where the page of the history begins; `None`: with the newest.
    pub before: Option<HistoryPlace>,
}

impl Span {
    pub(super) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Whole hours, the present one among them: sums know no shorter time.
    pub(super) fn hours(self) -> i64 {
        match self {
            // The last sixty minutes lie in two of them.
            Self::Hour => 2,
            Self::Day => 24,
            Self::Week => 7 * 24,
            Self::Month => 30 * 24,
        }
    }

    /// The hours that one bar of the chart stands for: as many bars as can be told apart.
    pub(super) fn step(self) -> i64 {
        match self {
            Self::Hour | Self::Day => 1,
            Self::Week => 6,
            Self::Month => 24,
        }
    }
}

impl Refresh {
    pub(super) fn is_on(&self) -> bool {
        *self == Self::On
    }

    /// What an address has to say to stay so, behind a first parameter.
    pub(super) fn suffix(&self) -> &'static str {
        match self {
            Self::On => "",
            Self::Off => "&refresh=off",
        }
    }

    /// The same of an address without another parameter.
    pub(super) fn only(&self) -> &'static str {
        match self {
            Self::On => "",
            Self::Off => "?refresh=off",
        }
    }
}

impl Parameters {
    pub(super) fn span(&self) -> Result<Span, Problem> {
        match given(self.span.as_ref()) {
            None => Ok(Span::Day),
            Some(name) => Span::ALL.into_iter().find(|span| span.name() == name).ok_or_else(|| {
                Problem::parameter("span", &format!("is `{name}`, which is no span"), "use `hour`, `day`, `week` or `month`")
            }),
        }
    }

    pub(super) fn refresh(&self) -> Refresh {
        if self.refresh.as_deref() == Some("off") { Refresh::Off } else { Refresh::On }
    }

    /// The subject that is looked up, if any is.
    pub(super) fn subject(&self) -> Result<Option<Asked>, Problem> {
        let Some(subject) = given(self.subject.as_ref()) else { return Ok(None) };
        let subject = id("subject", subject, SubjectId::new)?;
        let user = given(self.user.as_ref()).map(|user| id("user", user, UserId::new)).transpose()?;
        let before = given(self.before.as_ref()).map(place).transpose()?;
        Ok(Some(Asked { subject, user, before }))
    }

    /// Where the page of the list begins.
    pub(super) fn after(&self) -> Result<Option<SubjectId>, Problem> {
        given(self.after.as_ref()).map(|after| id("after", after, SubjectId::new)).transpose()
    }
}

fn given(value: Option<&String>) -> Option<&str> {
    value.map(|value| value.trim()).filter(|value| !value.is_empty())
}

fn id<T>(name: &str, text: &str, read: fn(&str) -> Result<T, IdError>) -> Result<T, Problem> {
    read(text).map_err(|error| Problem::parameter(name, &error.to_string(), "a name is 1 to 128 letters, digits and `._:@/-`"))
}

/// A place in a history, as an address has it.
pub(super) fn place_text(place: &HistoryPlace) -> String {
    let generation = place.generation().map(GenerationId::as_str).unwrap_or_default();
    format!("{}{BETWEEN}{generation}", place.began())
}

fn place(text: &str) -> Result<HistoryPlace, Problem> {
    let read = || {
        let (began, generation) = text.split_once(BETWEEN)?;
        let began: Timestamp = began.parse().ok()?;
        Some(HistoryPlace::before_generation(began, GenerationId::new(generation).ok()?))
    };
    read().ok_or_else(|| Problem::parameter("before", "is no place in a history", "begin with the newest generations again"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        let fields = pairs.iter().map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(*value)));
        serde_json::from_value(serde_json::Value::Object(fields.collect())).unwrap()
    }

    #[test]
    fn what_is_not_said_is_a_day_that_refreshes_and_nobody() {
        let nothing = parameters(&[("subject", " "), ("user", ""), ("span", "")]);
        assert_eq!((nothing.span().unwrap(), nothing.refresh()), (Span::Day, Refresh::On));
        assert!(nothing.subject().unwrap().is_none() && nothing.after().unwrap().is_none());
    }

    #[test]
    fn a_place_in_a_history_leads_back_to_itself() {
        for (began, generation) in [("2026-03-01T12:00:00.123Z", "g-1"), ("1969-12-31T23:59:59Z", "org:team/7@x")] {
            let place = HistoryPlace::before_generation(began.parse().unwrap(), GenerationId::new(generation).unwrap());
            let asked = parameters(&[("subject", "acme"), ("before", &place_text(&place))]).subject().unwrap().unwrap();
            assert_eq!(asked.before, Some(place));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let refused = |pairs: &[(&str, &str)]| {
            let parameters = parameters(pairs);
            parameters.span().err().or(parameters.subject().err()).or(parameters.after().err()).unwrap().message
        };
        assert!(refused(&[("span", "<b>")]).starts_with("`span`"));
        assert!(refused(&[("subject", "a b")]).starts_with("`subject` has ' ' at byte 1"));
        assert!(refused(&[("subject", "a"), ("user", "\"")]).starts_with("`user`"));
        assert!(refused(&[("after", "a|b")]).starts_with("`after`"));
        for place in ["x", "2026-03-01T12:00:00Z", "~g", "2026-03-01T12:00:00Z~", "2026-13-01T12:00:00Z~g"] {
            assert!(refused(&[("subject", "a"), ("before", place)]).starts_with("`before`"), "{place}");
        }
    }
}
