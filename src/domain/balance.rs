//! Balances: what is left of a meter, allowance and credits kept apart (P10).

use jiff::Timestamp;

use super::amount::Micros;
use super::ids::{MeterId, UserId};
use super::ledger::{Account, AccountKey};
use super::plan::SourceKind;
use super::view::PayingSource;

/// The accounts a call has read, in the order of their keys. An account that is not among them is empty. It is asked for every source at
/// every instant and count that a denial tries, so a look must not walk a thousand grants.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(Vec<(AccountKey, Account)>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    pub meter: MeterId,
    /// Some source has no limit, so nothing is refused for count.
    pub unlimited: bool,
    pub available: Micros,
    /// Of allowances and add-ons.
    pub allowance_available: Micros,
    /// Of grants.
    pub credits_available: Micros,
    pub reserved: Micros,
    pub committed: Micros,
    pub overage: Micros,
    pub near_limit: bool,
    /// When the first of the sources is filled anew.
    pub reset_time: Option<Timestamp>,
    pub sources: Vec<SourceBalance>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceBalance {
    pub kind: SourceKind,
    pub account: AccountKey,
    /// Whose own it is.
    pub user: Option<UserId>,
    /// `None` is unlimited. Carried-over units are part of it.
    pub limit: Option<Micros>,
    pub reserved: Micros,
    pub committed: Micros,
    pub available: Micros,
    pub reset_time: Option<Timestamp>,
    pub expire_time: Option<Timestamp>,
}

impl Snapshot {
    pub fn new(accounts: impl IntoIterator<Item = (AccountKey, Account)>) -> Self {
        let mut accounts: Vec<_> = accounts.into_iter().collect();
        accounts.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self(accounts)
    }

    /// The keys of these that were not read.
    pub fn missing<'k>(&self, keys: impl Iterator<Item = &'k AccountKey>) -> Vec<AccountKey> {
        let mut missing: Vec<_> = keys.filter(|key| self.0.binary_search_by(|(known, _)| known.cmp(key)).is_err()).cloned().collect();
        missing.sort();
        missing.dedup();
        missing
    }

    /// With more accounts.
    pub fn with(self, accounts: impl IntoIterator<Item = (AccountKey, Account)>) -> Self {
        Self::new(self.0.into_iter().chain(accounts))
    }

    pub fn account(&self, key: &AccountKey) -> Account {
        self.0.binary_search_by(|(known, _)| known.cmp(key)).map(|index| self.0[index].1).unwrap_or_default()
    }
}

impl SourceBalance {
    pub fn of(source: &PayingSource, snapshot: &Snapshot) -> Self {
        let account = snapshot.account(&source.source.account);
        let available = source.source.available(|key| snapshot.account(key));
        let carried = source.source.carried(|key| snapshot.account(key));
        Self {
            kind: source.kind,
            account: source.source.account.clone(),
            user: source.user.clone(),
            limit: source.source.limit.map(|limit| limit.checked_add(carried).unwrap_or(Micros::MAX)),
            reserved: account.reserved,
            committed: account.committed,
            available,
            reset_time: source.reset_time,
            expire_time: source.expire_time,
        }
    }
}

impl Balance {
    /// The balance over all sources of a meter. Sums stop at the largest amount.
    pub fn of(meter: &MeterId, sources: &[PayingSource], overage: &AccountKey, snapshot: &Snapshot, near_limit_percent: u8) -> Self {
        let sources: Vec<SourceBalance> = sources.iter().map(|source| SourceBalance::of(source, snapshot)).collect();
        let sum = |of: &dyn Fn(&SourceBalance) -> Micros| {
            sources.iter().fold(Micros::ZERO, |sum, source| sum.checked_add(of(source)).unwrap_or(Micros::MAX))
        };
        let unlimited = sources.iter().any(|source| source.limit.is_none());
        // Credits are what was granted; what a plan and its add-ons give anew each period is allowance.
        let granted = |source: &SourceBalance| source.kind == SourceKind::Grant;
        let available_where = |is_granted: bool| sum(&|source| if granted(source) == is_granted { source.available } else { Micros::ZERO });
        let limit = sum(&|source| source.limit.unwrap_or(Micros::MAX));
        let used = sum(&|source| source.reserved.checked_add(source.committed).unwrap_or(Micros::MAX));
        let near = i128::from(used.get()) * 100 >= i128::from(limit.get()) * i128::from(near_limit_percent);
        Self {
            meter: meter.clone(),
            unlimited,
            available: sum(&|source| source.available),
            allowance_available: available_where(false),
            credits_available: available_where(true),
            reserved: sum(&|source| source.reserved),
            committed: sum(&|source| source.committed),
            overage: snapshot.account(overage).committed,
            near_limit: !unlimited && !sources.is_empty() && near,
            reset_time: sources.iter().filter_map(|source| source.reset_time).min(),
            sources,
        }
    }
}
