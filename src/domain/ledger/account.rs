//! Accounts: one row of the ledger for a source or cap, a period, and who shares it.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::amount::Micros;
use crate::domain::ids::{AddOnId, AllowanceId, CapId, GrantId, MeterId, UserId};
use crate::domain::period::PeriodName;

/// What is set aside and what is used of one source, or under one cap. An account that holds nothing does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Account {
    pub reserved: Micros,
    pub committed: Micros,
    /// When the window of a cap is over; the account is forgotten after it. Sources never lapse: they are the books.
    pub lapses: Option<Timestamp>,
}

impl Account {
    /// Everything that counts against a limit, or `None` above the largest amount.
    pub fn total(&self) -> Option<Micros> {
        self.reserved.checked_add(self.committed)
    }

    pub fn is_empty(&self) -> bool {
        self.reserved.is_zero() && self.committed.is_zero()
    }

    /// What a limit leaves; nothing when more than the limit is in use.
    pub fn available(&self, limit: Micros) -> Micros {
        limit.less(self.reserved).less(self.committed)
    }
}

/// Names an account within its subject: `kind|id|period|who`. Built here only, from checked ids, so a key can be taken apart again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey(Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AccountKind {
    Allowance,
    AddOn,
    Grant,
    /// Committed units that no source could pay.
    Overage,
    /// A ceiling over reserved and committed.
    FlowCap,
    /// A ceiling over reserved alone, such as `in_flight`.
    LevelCap,
}

/// Stands for a part that does not apply: no period, nobody in particular. No id and no date can be this.
const NOTHING: &str = "*";

impl AccountKind {
    const ALL: [Self; 6] = [Self::Allowance, Self::AddOn, Self::Grant, Self::Overage, Self::FlowCap, Self::LevelCap];

    const fn code(self) -> &'static str {
        match self {
            Self::Allowance => "al",
            Self::AddOn => "ad",
            Self::Grant => "gr",
            Self::Overage => "ov",
            Self::FlowCap => "fc",
            Self::LevelCap => "lc",
        }
    }

    /// Whether accounts of this kind pay units (overage pays what nothing else could), as opposed to caps.
    pub const fn pays(self) -> bool {
        matches!(self, Self::Allowance | Self::AddOn | Self::Grant | Self::Overage)
    }
}

impl AccountKey {
    pub fn allowance(id: &AllowanceId, period: impl Into<PeriodName>, user: Option<&UserId>) -> Self {
        Self::build(AccountKind::Allowance, id.as_str(), period.into(), user.map_or(NOTHING, UserId::as_str))
    }

    pub fn add_on(id: &AddOnId, period: impl Into<PeriodName>, user: Option<&UserId>) -> Self {
        Self::build(AccountKind::AddOn, id.as_str(), period.into(), user.map_or(NOTHING, UserId::as_str))
    }

    pub fn grant(id: &GrantId) -> Self {
        Self::build(AccountKind::Grant, id.as_str(), NOTHING, NOTHING)
    }

    /// Overage is kept by meter and period. `None` is the overage of a subject without a plan.
    pub fn overage(meter: &MeterId, period: Option<Date>) -> Self {
        match period {
            Some(day) => Self::build(AccountKind::Overage, meter.as_str(), day, NOTHING),
            None => Self::build(AccountKind::Overage, meter.as_str(), NOTHING, NOTHING),
        }
    }

    /// A cap's account: `window` is the first instant of its window, `values` those of its dimensions in order.
    pub fn cap<'a>(kind: AccountKind, id: &CapId, window: Option<Timestamp>, values: impl Iterator<Item = &'a str>) -> Self {
        let mut who = String::new();
        for value in values {
            who.reserve(value.len() + 1);
            who.push(if who.is_empty() { '=' } else { ',' });
            escape_into(&mut who, value);
        }
        let who = if who.is_empty() { NOTHING } else { &who };
        match window {
            Some(start) => Self::build(kind, id.as_str(), start, who),
            None => Self::build(kind, id.as_str(), NOTHING, who),
        }
    }

    fn build(kind: AccountKind, id: &str, period: impl fmt::Display, who: &str) -> Self {
        use fmt::Write as _;
        // Room for a code, an instant and the bars: most keys are written without growing.
        let mut text = String::with_capacity(id.len() + who.len() + 32);
        write!(text, "{}|{id}|{period}|{who}", kind.code()).expect("writing to a string cannot fail");
        Self(Arc::from(text))
    }

    /// Takes a key that a store kept; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('|');
        let kind = parts.next()?;
        let complete = parts.by_ref().take(3).count() == 3 && parts.next().is_none();
        (complete && AccountKind::ALL.iter().any(|known| known.code() == kind)).then(|| Self(Arc::from(text)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn kind(&self) -> AccountKind {
        let code = self.part(0);
        AccountKind::ALL.into_iter().find(|kind| kind.code() == code).expect("a key is built or parsed with a known kind")
    }

    /// The allowance, add-on, grant, meter or cap this is of.
    pub fn source(&self) -> &str {
        self.part(1)
    }

    /// The first day of the period, or the first instant of the window.
    pub fn period(&self) -> Option<&str> {
        Some(self.part(2)).filter(|period| *period != NOTHING)
    }

    /// The user whose own account this is, of a source.
    pub fn user(&self) -> Option<&str> {
        Some(self.part(3)).filter(|user| *user != NOTHING && self.kind().pays())
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('|').nth(index).expect("a key has four parts")
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Label values are free text: whatever could end a part is written as `%` and two hexadecimal digits.
fn escape_into(out: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'@' | b'/' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_can_be_taken_apart_again() {
        let day = Date::constant(2026, 1, 18);
        let user = UserId::new("u@example.com").unwrap();
        let key = AccountKey::allowance(&AllowanceId::new("credits").unwrap(), day, Some(&user));
        assert_eq!(key.as_str(), "al|credits|2026-01-18|u@example.com");
        assert_eq!(
            (key.kind(), key.source(), key.period(), key.user()),
            (AccountKind::Allowance, "credits", Some("2026-01-18"), Some("u@example.com"))
        );
        assert_eq!(AccountKey::parse(key.as_str()), Some(key));
        let grant = AccountKey::grant(&GrantId::new("promo").unwrap());
        assert_eq!((grant.period(), grant.user()), (None, None));
    }

    #[test]
    fn free_text_in_a_label_cannot_forge_another_key() {
        let cap = CapId::new("campaign").unwrap();
        let key = |values: &[&str]| AccountKey::cap(AccountKind::FlowCap, &cap, None, values.iter().copied());
        assert_eq!(key(&["a|b", "c,d"]).as_str(), "fc|campaign|*|=a%7cb,c%2cd");
        assert_ne!(key(&["a", "b"]), key(&["a,b"]));
        assert_ne!(key(&[""]), key(&[]));
        assert_eq!(AccountKey::parse("fc|a|b"), None);
        assert_eq!(AccountKey::parse("xx|a|b|c"), None);
        assert_eq!(AccountKey::parse("gr|a|b|c|d"), None);
    }
}
