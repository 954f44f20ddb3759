//! What the question of a probe is answered by a store of which a part is lost.

use genquota::store::redis::{Options, RedisStore};
use genquota::store::{Store, StoreError, Urgency};

use crate::fixtures::{reserve, take};
use crate::lab::Kind;
use crate::shared;

#[tokio::test]
async fn a_partition_that_is_fenced_is_heard_of_whichever_it_is() {
    let server = shared::server(Kind::Redis7);
    let store = RedisStore::open(shared::link(&server.url()).await, Options { partitions: 4, ..Options::new("test") }).await.unwrap();
    assert_eq!(store.documents(None, 0).await.unwrap().len(), 0);
    server.command(&["DEL", "{gqtest:3}meta"]);
    let mut lost = 0;
    for number in 0..32 {
        let answer = store.execute(reserve(&format!("s{number}"), "r", take(1, 10)), Urgency::Reserve).await;
        lost += usize::from(matches!(answer, Err(StoreError::DataLost { .. })));
    }
    assert!(0 < lost && lost < 32, "{lost} of 32 subjects are in the partition that is gone");
    assert!(matches!(store.documents(None, 0).await, Err(StoreError::DataLost { .. })));
}
