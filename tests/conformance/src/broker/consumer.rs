//! Consumers that do what is asked of them, and a record of what they took.

use std::collections::BTreeMap;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tracked_events::broker::{IncomingMessage, Intake};

use super::{Member, within};

/// How a consumer asks for the next thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It waits for the answer.
    Patient,
    /// It drops its calls, at another place each time.
    Hasty,
}

/// A member that admits what it takes, and releases what is to go.
pub struct Consumer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Something that happened to a consumer.
enum Seen {
    Message(IncomingMessage),
    /// It has this many partitions now.
    Share(String, usize),
}

/// What the consumers took, in the order in which it was taken.
pub struct Record {
    sender: mpsc::UnboundedSender<Seen>,
    seen: mpsc::UnboundedReceiver<Seen>,
    messages: Vec<IncomingMessage>,
    shares: BTreeMap<String, usize>,
}

impl Consumer {
    /// Leaves the group.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        within("a consumer to leave", self.task).await.unwrap();
    }
}

impl Record {
    /// A record of nothing.
    #[must_use]
    pub fn new() -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        Self { sender, seen, messages: Vec::new(), shares: BTreeMap::new() }
    }

    /// Starts a consumer.
    pub fn consume(&self, member: Member, manner: Manner) -> Consumer {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(consume(member, manner, stopped, self.sender.clone()));
        Consumer { stop, task }
    }

    /// Waits until that many messages were taken in all.
    pub async fn messages(&mut self, count: usize) {
        while self.messages.len() < count {
            self.look(&format!("{} messages, of which {} came", count, self.messages.len())).await;
        }
    }

    /// Waits until an instance has that many partitions.
    pub async fn share(&mut self, instance: &str, count: usize) {
        while self.shares.get(instance) != Some(&count) {
            self.look(&format!("`{instance}` to have {count} partitions; so far: {:?}", self.shares)).await;
        }
    }

    /// Everything that was taken, once all consumers have stopped.
    pub async fn end(mut self) -> Vec<IncomingMessage> {
        drop(self.sender);
        while let Some(seen) = within("the consumers to stop", self.seen.recv()).await {
            if let Seen::Message(message) = seen {
                self.messages.push(message);
            }
        }
        self.messages
    }

    async fn look(&mut self, what: &str) {
        match within(what, self.seen.recv()).await.unwrap() {
            Seen::Message(message) => self.messages.push(message),
            Seen::Share(instance, count) => drop(self.shares.insert(instance, count)),
        }
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

async fn consume(
    mut member: Member,
    manner: Manner,
    mut stopped: oneshot::Receiver<()>,
    record: mpsc::UnboundedSender<Seen>,
) {
    loop {
        record.send(Seen::Share(member.instance().to_owned(), member.own().len())).unwrap();
        let asked = async {
            match manner {
                Manner::Patient => member.next(10).await,
                Manner::Hasty => member.next_in_haste(10).await,
            }
        };
        let intake = tokio::select! {
            biased;
            _ = &mut stopped => break,
            intake = asked => intake,
        };
        match intake {
            Intake::Messages(messages) => {
                member.admit(&messages).await;
                messages.into_iter().for_each(|message| record.send(Seen::Message(message)).unwrap());
            }
            Intake::Revoking(partitions) => member.release(&partitions).await,
            Intake::Assigned(_) | Intake::Lost(_) => {}
        }
    }
    member.close().await;
}
