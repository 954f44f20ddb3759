//! What the service falls back on while the store is away: the journal for what has happened, the outage policy for what is asked (W1, W2).
//!
//! The store is always asked first, for as long as a caller can wait. A hold that the policy lets pass is written down before it is
//! answered; it is judged by the catalog and by the subject's document as last seen, and only the accounts are not asked.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use super::{ReserveCommand, Reserved, Service, ServiceError, view};
use crate::domain::alternative::Alternatives;
use crate::domain::balance::Snapshot;
use crate::domain::booking;
use crate::domain::charge::Charge;
use crate::domain::denial::Denial;
use crate::domain::ids::SubjectId;
use crate::domain::ledger::{Account, Denied, Row};
use crate::domain::remedy::Judged;
use crate::service::Reservation;
use crate::store::StoreError;
use crate::store::journal::{Appended, Command, Entry, Journal, JournalError, QueuedHold};
use crate::store::outage::{Outage, Verdict};

/// Pause before a call that got no answer is made again: time for a connection to be replaced, and little beside the wait for an answer.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What may be set of outages.
#[derive(Debug, Clone, Copy)]
pub struct OutageRules {
    /// How long a caller waits for the store before something else is done: a fraction of what a request may take, for the disk comes
    /// after it.
    pub patience: Duration,
    /// How long the store remembers what has ended. An older entry of the journal may have been carried out and forgotten.
    pub retention: SignedDuration,
}

/// What there is when the store gives no answer.
pub(super) struct Fallback {
    pub journal: Arc<Journal>,
    pub outage: Outage,
    pub rules: OutageRules,
}

/// What is left of a call's wait for the store.
pub(super) struct Patience<'f> {
    fallback: &'f Fallback,
    deadline: Instant,
}

impl Service {
    /// With a journal, what the store does not answer is queued there, and plans that are open in an outage let holds pass.
    pub fn journalled(mut self, journal: Arc<Journal>, rules: OutageRules) -> Self {
        let entries = journal.entries();
        let passed = entries.iter().filter_map(|(_, entry)| match &entry.command {
            Command::Hold(hold) => Some((hold.row.detail.plan.clone()?, hold.row.units_held())),
            Command::Settlement(_) | Command::Usage(_) => None,
        });
        let outage = Outage::of(passed);
        self.fallback = Some(Fallback { journal, outage, rules });
        self
    }

    /// Whether any plan may let holds pass while the store is away.
    pub fn is_open_in_outage(&self) -> bool {
        self.fallback.is_some() && Outage::may_open(&self.catalogs.current())
    }

    /// Decides a hold without the store, if the plan's policy lets it.
    pub(super) async fn reserve_in_outage(
        &self,
        fallback: &Fallback,
        command: &ReserveCommand,
        error: StoreError,
    ) -> Result<Reserved, ServiceError> {
        // Of a subject that was never seen nothing is known; to try a request first is to ask the accounts.
        let Some(document) = self.documents.get(&command.subject).filter(|_| !command.validate_only) else { return Err(error.into()) };
        if let Some(row) = self.last_known(fallback, command) {
            return if row.opened_by == command.fingerprint {
                Ok(unbalanced(&command.subject, row, true))
            } else {
                Err(ServiceError::IdReused("reservation_id"))
            };
        }
        let catalog = self.catalogs.current();
        let view = view(&catalog, document.as_deref(), self.clock.now())?;
        let mut work = command.work.clone();
        // Once for what is asked, and once for what fits instead.
        for _ in 0..2 {
            let ask = command.ask(&work);
            // Whether an id that breaks the rules of today was granted before, only the store knows.
            let (Some(active), Ok(charge), Ok(ttl)) = (&view.plan, Charge::judge(&catalog, &view, &ask), self.ttl(command.ttl)) else {
                return Err(error.into());
            };
            let Verdict::Open(pass) = fallback.outage.judge(&error, active.terms.on_store_outage, &active.plan.id, charge.units) else {
                return Err(error.into());
            };
            let judged = Judged { catalog: &catalog, view: &view, ask: &ask, charge: &charge };
            if !charge.violations.is_empty() {
                return Ok(denied(judged.refusal(&Snapshot::default(), &Alternatives::default())));
            }
            if let Some(short) = short_at_best(&charge) {
                match self.fewer(command, &judged, &short)? {
                    Some(fewer) => work = fewer,
                    None => return Ok(denied(judged.denial(&short, &judged.snapshot(&short), &Alternatives::default())?)),
                }
                continue;
            }
            let detail = charge.detail(&catalog, &ask, command.generation.clone());
            let row = Arc::new(booking::unbooked(&charge, detail, command.id.clone(), command.fingerprint, ttl));
            let hold = Command::Hold(QueuedHold { row: row.clone(), ttl });
            return match fallback.append(Entry { subject: command.subject.clone(), accept_time: view.now, command: hold }).await? {
                Appended::New => {
                    pass.keep();
                    Ok(unbalanced(&command.subject, row, false))
                }
                Appended::Repeated(known) => repeated(command, &known),
                Appended::Conflict(_) => Err(ServiceError::IdReused("reservation_id")),
            };
        }
        Err(error.into())
    }

    /// The reservation under the id of a request, as it was last seen here.
    fn last_known(&self, fallback: &Fallback, command: &ReserveCommand) -> Option<Arc<Row>> {
        let queued = fallback.journal.about(&command.subject, &command.id);
        let seen = || self.recent.get(&(command.subject.clone(), command.id.clone()));
        queued.row().cloned().or_else(seen)
    }
}

impl Fallback {
    /// Whether the journal takes what got this for an answer. What a store that has lost data would make of it is not known, so that
    /// waits too; a store that sheds or closes has said that nothing was done.
    pub(super) fn takes(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Unavailable { .. } | StoreError::DataLost { .. } => true,
            StoreError::Overloaded { .. } | StoreError::Closing => false,
        }
    }

    /// How long a call that begins now may wait for the store.
    pub(super) fn patience(&self) -> Patience<'_> {
        Patience { fallback: self, deadline: Instant::now() + self.rules.patience }
    }

    /// The answer to a reserve whose id was opened in this outage: by itself, or by another request.
    pub(super) fn opened(&self, command: &ReserveCommand) -> Result<Option<Reserved>, ServiceError> {
        let opening = self.journal.about(&command.subject, &command.id).opening;
        opening.map(|known| repeated(command, &known)).transpose()
    }

    /// Writes an entry down. What cannot be is refused, as if there were no journal.
    pub(super) async fn append(&self, entry: Entry) -> Result<Appended, ServiceError> {
        self.journal.append(entry).await.map_err(|problem| match problem {
            JournalError::Closed => StoreError::Closing.into(),
            // The journal's thread has told it, once.
            JournalError::Full { .. } | JournalError::Failed { .. } => {
                StoreError::Unavailable { reason: Arc::from(format!("the store is away, and {problem}")) }.into()
            }
        })
    }
}

impl Patience<'_> {
    /// What the store says in time.
    pub(super) async fn within<T>(&self, call: impl Future<Output = Result<T, ServiceError>>) -> Result<T, ServiceError> {
        let late = |_| Err(StoreError::Unavailable { reason: Arc::from("the store gave no answer in time") }.into());
        tokio::time::timeout_at(self.deadline, call).await.unwrap_or_else(late)
    }

    /// Whether to ask once more, after a pause: with the same ids that is safe, and what is carried out need not be queued. While others
    /// wait in the journal already, once is enough.
    pub(super) async fn is_left_after<T>(&self, answer: &Result<T, ServiceError>) -> bool {
        let silent = matches!(answer, Err(ServiceError::Store(StoreError::Unavailable { .. })));
        let again = silent && self.fallback.journal.is_drained() && Instant::now() + RETRY_PAUSE < self.deadline;
        if again {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        again
    }
}

/// What stands against a charge even where nothing is used: more than the sources give, more than a cap allows.
fn short_at_best(charge: &Charge<'_>) -> Option<Denied> {
    let idle = Snapshot::default();
    if charge.fits(&idle) {
        return None;
    }
    let exceeds = |leg: &crate::domain::ledger::CapLeg| leg.enforced && leg.limit.is_some_and(|limit| leg.amount > limit);
    Some(Denied {
        short: charge.units > charge.available(&idle),
        caps_reached: charge.caps.iter().enumerate().filter(|(_, cap)| exceeds(&cap.leg)).map(|(index, _)| index).collect(),
        accounts: vec![Account::default(); charge.take(None).keys().count()],
        now: charge.now,
    })
}

/// A denial without balances: nobody knows them.
fn denied(denial: Denial) -> Reserved {
    Reserved { outcome: Err(denial), balances: Vec::new(), replayed: false }
}

fn unbalanced(subject: &SubjectId, row: Arc<Row>, replayed: bool) -> Reserved {
    Reserved { outcome: Ok(Reservation { subject: subject.clone(), row }), balances: Vec::new(), replayed }
}

/// The answer to a request whose id has an opening queued.
fn repeated(command: &ReserveCommand, known: &Entry) -> Result<Reserved, ServiceError> {
    match &known.command {
        Command::Hold(hold) if hold.row.opened_by == command.fingerprint => Ok(unbalanced(&command.subject, hold.row.clone(), true)),
        Command::Hold(_) | Command::Settlement(_) | Command::Usage(_) => Err(ServiceError::IdReused("reservation_id")),
    }
}
