//! Requests something about many topics in few round trips: many applications have many topics, and brokers can be far
//! away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use parking_lot::Mutex;
use rdkafka::error::KafkaResult;
use rdkafka::metadata::{Metadata, MetadataTopic};

/// Up to this many topics are requested individually. For more topics, a single request asks for all topics of the
/// cluster: its answer also describes topics that are not ours, but it needs one round trip.
pub(in crate::kafka) const MAX_SINGLE_REQUESTS: usize = 64;

/// Maximum number of concurrent requests.
const CONCURRENT_REQUESTS: usize = 16;

/// Returns the answer about each topic, in the same order. `list` describes all topics of the cluster, and `one`
/// describes a single topic. A list omits topics that do not exist and topics that this user may not describe, so
/// those are requested individually, several at a time.
///
/// # Errors
/// The error of the list, or of a topic whose request failed.
pub(in crate::kafka) fn describe<T: Clone + Send, E: Send>(
    topics: &[&str],
    list: impl FnOnce() -> Result<HashMap<String, T>, E>,
    one: impl Fn(&str) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let mut answers = if topics.len() > MAX_SINGLE_REQUESTS { list()? } else { HashMap::new() };
    let absent: Vec<&str> = topics.iter().copied().filter(|topic| !answers.contains_key(*topic)).collect();
    for (topic, answer) in singly(&absent, &one) {
        answers.insert((*topic).to_owned(), answer?);
    }
    Ok(topics.iter().filter_map(|topic| answers.get(*topic).cloned()).collect())
}

/// Returns the number of partitions of each topic, in the same order: 0 if it does not exist or cannot be described.
/// `fetch` requests a topic's metadata, or that of all topics.
pub(in crate::kafka) fn partition_counts(
    topics: &[&str],
    fetch: impl Fn(Option<&str>) -> KafkaResult<Metadata> + Sync,
) -> KafkaResult<Vec<usize>> {
    let count = |found: &MetadataTopic| if found.error().is_none() { found.partitions().len() } else { 0 };
    let list = || {
        let metadata = fetch(None)?;
        Ok(metadata.topics().iter().map(|found| (found.name().to_owned(), count(found))).collect())
    };
    describe(topics, list, |topic| {
        let metadata = fetch(Some(topic))?;
        Ok(metadata.topics().iter().find(|found| found.name() == topic).map_or(0, count))
    })
}

/// Requests each topic, several at a time. Returns the answers in the order in which they arrive.
pub(in crate::kafka) fn singly<K: AsRef<str> + Sync, T: Send, E: Send>(
    topics: &[K],
    one: impl Fn(&str) -> Result<T, E> + Sync,
) -> Vec<(&K, Result<T, E>)> {
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(topics.len())));
    let work = || {
        while let Some(topic) = topics.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = one(topic.as_ref());
            answers.lock().push((topic, answer));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..topics.len().min(CONCURRENT_REQUESTS) {
            // Without another thread, this one sends all requests.
            let _ = Builder::new().name("kafka metadata".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    answers.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Describes these topics on a cluster that lists the even ones. Returns the answers, and the number of lists and
    /// of other requests.
    fn described(topics: &[String]) -> (Vec<String>, usize, usize) {
        let (lists, singles) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let list = || {
            lists.fetch_add(1, Ordering::Relaxed);
            let even = topics.iter().step_by(2);
            Ok::<_, ()>(even.map(|topic| (topic.clone(), format!("{topic} listed"))).collect())
        };
        let one = |topic: &str| {
            singles.fetch_add(1, Ordering::Relaxed);
            Ok(topic.to_owned())
        };
        let answers = describe(&names, list, one).unwrap();
        (answers, lists.into_inner(), singles.into_inner())
    }

    #[test]
    fn many_topics_take_one_request_and_those_it_omits() {
        let topics: Vec<_> = (0..900).map(|number| format!("{number:03}")).collect();
        let (answers, lists, singles) = described(&topics);
        assert_eq!((lists, singles), (1, 450));
        assert_eq!(answers.len(), 900);
        assert_eq!(answers[..3], ["000 listed", "001", "002 listed"]);
    }

    #[test]
    fn a_few_topics_are_requested_alone() {
        let topics: Vec<_> = (0..MAX_SINGLE_REQUESTS).map(|number| format!("{number:03}")).collect();
        assert_eq!(described(&topics), (topics.clone(), 0, MAX_SINGLE_REQUESTS));
        assert_eq!(described(&[]), (Vec::new(), 0, 0));
    }

    #[test]
    fn an_error_of_one_topic_is_returned() {
        let one = |topic: &str| if topic == "b" { Err("no answer") } else { Ok(()) };
        assert_eq!(describe(&["a", "b", "c"], || Ok(HashMap::new()), one), Err("no answer"));
    }
}
