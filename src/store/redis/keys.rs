//! Where things lie in Redis: the one place that makes keys.
//!
//! A key is `{gq<instance>:<partition>}` and a name. The braces are the hash tag, so that everything one decision touches lies in one slot
//! of a cluster. What goes into a key was checked where it entered: names of instances and ids hold neither braces nor blanks.

use crate::domain::ids::SubjectId;

/// Keys of one ledger.
#[derive(Debug)]
pub(super) struct Keys {
    instance: Box<str>,
    partitions: Vec<PartitionKeys>,
}

/// Keys of one partition, made once.
#[derive(Debug)]
pub(super) struct PartitionKeys {
    tag: String,
    pub(super) meta: String,
    pub(super) due: String,
    pub(super) events: String,
    pub(super) lapses: String,
    pub(super) subjects: String,
    pub(super) spent: String,
}

impl Keys {
    /// `instance` is a checked name, `partitions` above zero.
    pub(super) fn new(instance: &str, partitions: u32) -> Self {
        let partition = |number| {
            let tag = format!("{{gq{instance}:{number}}}");
            let key = |name: &str| format!("{tag}{name}");
            PartitionKeys {
                meta: key("meta"),
                due: key("due"),
                events: key("events"),
                lapses: key("lapses"),
                subjects: key("subjects"),
                spent: key("spent"),
                tag,
            }
        };
        Self { instance: instance.into(), partitions: (0..partitions).map(partition).collect() }
    }

    /// Who the ledger is: a hash with its `identity`, `ready` once every partition has been laid out, and the `import` that filled it.
    pub(super) fn genesis(&self) -> String {
        format!("{{gq{}}}genesis", self.instance)
    }

    /// A hash of the ledgers that processes miss here, by their ids.
    pub(super) fn missed(&self) -> String {
        format!("{{gq{}}}missed", self.instance)
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// A hash of catalogs by version.
    pub(super) fn catalogs(&self) -> String {
        format!("{{gq{}}}catalogs", self.instance)
    }

    /// Written and read to wait for replicas; it means nothing.
    pub(super) fn mark(&self) -> String {
        format!("{{gq{}}}mark", self.instance)
    }

    /// What every key of every partition matches.
    pub(super) fn pattern(&self) -> String {
        format!("{{gq{}:*", self.instance)
    }

    /// The partition of a key, and what follows its tag; `None` for a key of something else.
    pub(super) fn taken_apart<'k>(&self, key: &'k str) -> Option<(usize, &'k str)> {
        let (number, rest) = key.strip_prefix("{gq")?.strip_prefix(&*self.instance)?.strip_prefix(':')?.split_once('}')?;
        let number = number.parse().ok().filter(|number| *number < self.partitions.len())?;
        Some((number, rest))
    }

    pub(super) fn count(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn partition(&self, number: usize) -> &PartitionKeys {
        &self.partitions[number]
    }

    /// The partition of a subject: the same in every process and every version of the program.
    pub(super) fn partition_of(&self, subject: &SubjectId) -> usize {
        let below = fnv1a(subject.as_str().as_bytes()) % self.partitions.len() as u64;
        usize::try_from(below).expect("below the number of partitions")
    }
}

impl PartitionKeys {
    /// A subject's hash: `v` and `d` its document, `a:<account>` its accounts, `r:<id>` its reservations, `g:<generation>` when a generation
    /// began and how many of its reservations have an id other than its own.
    pub(super) fn subject(&self, subject: &str) -> String {
        format!("{}s:{subject}", self.tag)
    }

    /// A subject's reservations in the order of its history, by when their generation began: `generation`, where that is the reservation's
    /// own id, or `generation reservation`.
    pub(super) fn history(&self, subject: &str) -> String {
        format!("{}h:{subject}", self.tag)
    }

    /// Sums of what was closed within one day since 1970: of everybody, or of one subject. Fields are `hour:key`.
    pub(super) fn costs(&self, day: i64, subject: Option<&str>) -> String {
        match subject {
            None => format!("{}costs:{day}", self.tag),
            Some(subject) => format!("{}costs:{day}:{subject}", self.tag),
        }
    }
}

/// FNV-1a of 64 bits, folded once more so that ids which differ in their last byte alone spread too.
fn fnv1a(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_of_a_partition_shares_its_hash_tag() {
        let keys = Keys::new("main", 8);
        let subject = SubjectId::new("acme").unwrap();
        let partition = keys.partition(keys.partition_of(&subject));
        for key in [
            &partition.meta,
            &partition.due,
            &partition.events,
            &partition.subject("acme"),
            &partition.history("acme"),
            &partition.costs(7, None),
        ] {
            assert!(key.starts_with(&partition.tag) && key.matches('{').count() == 1, "{key}");
        }
        assert_eq!(keys.partition(3).subject("acme"), "{gqmain:3}s:acme");
    }

    #[test]
    fn a_subject_stays_in_its_partition_in_every_version() {
        let keys = Keys::new("main", 64);
        let of = |name: &str| keys.partition_of(&SubjectId::new(name).unwrap());
        assert_eq!([of("acme"), of("user-1"), of("user-2"), of("0193b2c4-7d1e-7000-8000-000000000000")], [12, 62, 7, 21]);
    }

    #[test]
    fn subjects_spread_evenly() {
        let keys = Keys::new("main", 64);
        let mut subjects = [0; 64];
        for number in 0..6400 {
            subjects[keys.partition_of(&SubjectId::new(&format!("user-{number}")).unwrap())] += 1;
        }
        assert!(subjects.iter().all(|count| (50..200).contains(count)), "{subjects:?}");
    }
}
