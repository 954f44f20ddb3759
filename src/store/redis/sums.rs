//! Sums of closed attempts as the script keeps them: fields `hour:key` of a day's hash, with their seven numbers.
//!
//! A sum that would leave the numbers the script computes with goes on in a field with a `+` after its name.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::row::signed;
use super::{Operation, RedisStore, broken};
use crate::domain::ids::SubjectId;
use crate::domain::summary::{CostSum, Tally, TallyKey};
use crate::store::record::RecordError;
use crate::store::{CostsOf, HourRange, StoreError, Urgency};

/// From here on the script begins another field for a sum.
const SUM_MAX: i64 = 8_000_000_000_000_000 - 1;
const HOURS_PER_DAY: i64 = 24;
/// Days of partitions that one summary reads at the same time: enough to hide the way there and back, and few beside decisions.
const READS_MAX: usize = 32;

/// A sum from its field and numbers.
pub(super) fn read(field: &str, text: &str) -> Result<CostSum, RecordError> {
    let wrong = || RecordError::new("costs", format!("are none: `{field}` `{text}`"));
    let (hour, key) = field.split_once(':').ok_or_else(wrong)?;
    let key = TallyKey::parse(key.trim_end_matches('+')).ok_or_else(wrong)?;
    let numbers: Vec<i64> = text.split(' ').map(signed).collect::<Result<_, _>>()?;
    let numbers = <[i64; 7]>::try_from(numbers).map_err(|_| wrong())?;
    Ok(CostSum { hour: signed(hour)?, key, tally: Tally::try_from(numbers).map_err(|_| wrong())? })
}

/// The fields of a sum, names and numbers: several where one would be too large.
pub(super) fn fields(sum: &CostSum) -> Vec<(String, String)> {
    let mut rest = sum.tally;
    let mut fields = Vec::new();
    loop {
        let [units, cost, cost_shift] = [rest.units, rest.cost, rest.cost_shift].map(|sum| sum.clamp(-SUM_MAX, SUM_MAX));
        let name = format!("{}:{}{}", sum.hour, sum.key, "+".repeat(fields.len()));
        fields.push((name, super::request::numbers_text(&Tally { units, cost, cost_shift, ..rest })));
        let (units, cost, cost_shift) = (rest.units - units, rest.cost - cost, rest.cost_shift - cost_shift);
        rest = Tally { units, cost, cost_shift, ..Tally::default() };
        if rest == Tally::default() {
            return fields;
        }
    }
}

/// The day that an hour lies in.
pub(super) const fn day_of(hour: i64) -> i64 {
    hour.div_euclid(HOURS_PER_DAY)
}

impl RedisStore {
    /// The sums of some hours, as they lie in the partitions: those of one key and hour may come from several.
    pub(super) async fn read_costs(&self, hours: HourRange, of: CostsOf) -> Result<Vec<CostSum>, StoreError> {
        let (first, last) = (day_of(hours.start), day_of(hours.end.saturating_sub(1)));
        let count = self.caller.keys.count();
        let places: Vec<(usize, Operation)> = match of {
            CostsOf::Everybody => {
                (first..=last).flat_map(|day| (0..count).map(move |partition| (partition, Operation::costs(day, None)))).collect()
            }
            CostsOf::Subject(subject) => {
                let partition = self.caller.keys.partition_of(&subject);
                (first..=last).map(|day| (partition, Operation::costs(day, Some(&subject)))).collect()
            }
            CostsOf::EachSubject => self.spenders(first, last).await?,
        };
        let read = |(partition, operation)| async move {
            let reply = self.ask(partition, super::Flavour::Always, operation, Urgency::Read).await?;
            let fields = reply.texts(2).map_err(broken)?;
            let sums = fields.chunks_exact(2).map(|pair| super::sums::read(&pair[0], &pair[1]));
            sums.collect::<Result<Vec<_>, _>>().map_err(|problem| broken(problem.into()))
        };
        let days: Vec<Vec<CostSum>> = stream::iter(places.into_iter().map(read)).buffer_unordered(READS_MAX).try_collect().await?;
        Ok(days.into_iter().flatten().filter(|sum| hours.contains(&sum.hour)).collect())
    }

    /// Where the sums of single subjects lie.
    async fn spenders(&self, first: i64, last: i64) -> Result<Vec<(usize, Operation)>, StoreError> {
        let mut places = Vec::new();
        for partition in 0..self.caller.keys.count() {
            let reply = self.ask(partition, super::Flavour::Always, Operation::spenders(first, last), Urgency::Read).await?;
            for spender in reply.texts(2).map_err(broken)? {
                let Some((day, subject)) = spender.split_once(' ') else { continue };
                // Everybody's is not a subject's.
                if let (Ok(day), Ok(subject)) = (signed(day), SubjectId::new(subject)) {
                    places.push((partition, Operation::costs(day, Some(&subject))));
                }
            }
        }
        Ok(places)
    }
}
