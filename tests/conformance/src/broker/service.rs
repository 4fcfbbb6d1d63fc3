//! The broker itself.

use tracked_events::broker::Outlet;

use super::{BrokerFixture, numbered};
use crate::given::*;

pub async fn a_broker_that_is_there_says_so(fixture: &BrokerFixture) {
    fixture.topic(1).await;
    assert!(!fixture.broker.check().await.unwrap().is_empty());
    let system = fixture.broker.system();
    assert!(!system.is_empty() && system.chars().all(|letter| letter.is_ascii_lowercase()), "{system}");
    if let Outlet::ProductionLog { partitions } = fixture.broker.outlet() {
        assert!(partitions > 0);
    }
}

pub async fn topics_that_are_there_stay_as_they_are(fixture: &BrokerFixture) {
    fixture.topic(3).await;
    fixture.publish(numbered("a", 0..5)).await;
    for _ in 0..2 {
        fixture.broker.ensure_topics(&[TOPIC.to_owned()]).await.unwrap();
    }
    let mut member = fixture.join_alone(GROUP, "one", 3).await;
    assert_eq!(member.messages(5).await.len(), 5);
}
