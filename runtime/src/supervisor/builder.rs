//! From a configuration to a running service.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Setup, Share,
    handle::{Handle, Running},
    instance::Instance,
    wiring::{Groups, wire},
};
use crate::{
    broker::{Broker, Ownership, SubscribeRequest, TopicSubscription},
    brokers::{self, BrokerOptions},
    clock::Clock,
    config::Config,
    error::{BoxError, ConfigError, Error, ErrorKind, Result, chain},
    listen::{
        Group, GroupInboxes, GroupParts, Listener, ListenerDeclaration, Order, States, consumer, due, registered,
        settle,
    },
    publish::{Publisher, name_service, relay::Relay},
    store::{DeadLetterTopics, OUTBOX_SHARDS, PartitionScope, SharedStore},
    stores::{self, StoreOptions, migrations},
    telemetry::RelayMetrics,
};

/// The entrance to the runtime.
pub struct Tracked;

impl Tracked {
    /// A service of that name, in somebody's own main.
    pub fn builder(service: impl Into<String>) -> Builder {
        Builder { service: service.into(), config: None, setup: None, listeners: None, clock: Clock::system() }
    }
}

type SetupFuture<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;
type BoxedSetup = Box<dyn for<'a> FnOnce(&'a mut Setup) -> SetupFuture<'a> + Send>;

/// A set-up function: `async fn setup(app: &mut Setup) -> Result<(), BoxError>`, with any error that converts.
#[diagnostic::on_unimplemented(
    message = "this is not a set-up function",
    label = "write `async fn setup(app: &mut Setup) -> Result<(), BoxError>`"
)]
pub trait SetupFunction<'a>: Send {
    /// Calls it.
    fn call(self, setup: &'a mut Setup) -> SetupFuture<'a>;
}

impl<'a, F, Fut, E> SetupFunction<'a> for F
where
    F: FnOnce(&'a mut Setup) -> Fut + Send,
    Fut: Future<Output = Result<(), E>> + Send + 'a,
    E: Into<BoxError>,
{
    fn call(self, setup: &'a mut Setup) -> SetupFuture<'a> {
        let set_up = self(setup);
        Box::pin(async move { set_up.await.map_err(Into::into) })
    }
}

/// A service that has not started yet.
#[must_use = "nothing runs until `start` is called"]
pub struct Builder {
    service: String,
    config: Option<Config>,
    setup: Option<BoxedSetup>,
    listeners: Option<Vec<&'static ListenerDeclaration>>,
    clock: Clock,
}

impl Builder {
    /// Uses this configuration in place of `tracked.toml` and the environment.
    pub fn config(self, config: Config) -> Self {
        Self { config: Some(config), ..self }
    }

    /// Calls `setup` before anything starts.
    pub fn setup<F>(self, setup: F) -> Self
    where
        F: for<'a> SetupFunction<'a> + 'static,
    {
        Self { setup: Some(Box::new(move |app| setup.call(app))), ..self }
    }

    /// Runs these listeners, in place of every one that is linked into the program.
    pub fn listeners(self, listeners: Vec<&'static ListenerDeclaration>) -> Self {
        Self { listeners: Some(listeners), ..self }
    }

    /// Takes the time from `clock`; tests move it.
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Checks everything, brings the schema up to date if configuration allows it, and starts every task.
    ///
    /// # Errors
    /// Every problem of configuration and wiring at once; or that database or broker cannot be used. Nothing runs then.
    pub async fn start(self) -> Result<Handle> {
        let config = match self.config {
            Some(config) => config,
            None => Config::load(&self.service)?,
        };
        name_service(&config.service);
        let declarations = self.listeners.map_or_else(linked_listeners, Ok)?;
        let store = open_store(&config, &self.clock).await?;
        let mut setup = Setup::new(config.clone(), Arc::clone(&store));
        if let Some(call) = self.setup {
            call(&mut setup).await.map_err(|error| Error::new(ErrorKind::Config, "set-up failed").caused_by(error))?;
        }
        let groups = wire(&declarations, &config, store.backend(), &setup.states)?;
        let starting = Starting::new(config, store, self.clock, &groups).await?;
        let handle = starting.start(groups, Arc::new(setup.states)).await?;
        for task in setup.tasks {
            handle.run_task(task);
        }
        Ok(handle)
    }
}

fn dead_letter_topics(groups: &Groups) -> DeadLetterTopics {
    let listeners = groups.values().flatten();
    listeners
        .map(|listener| ((listener.group.clone(), listener.name.clone()), listener.options.dead_letter.to_string()))
        .collect()
}

fn linked_listeners() -> Result<Vec<&'static ListenerDeclaration>, ConfigError> {
    let found = registered();
    if found.is_empty() {
        let problem = "the program has no listeners; if they are in another crate or module that nothing else uses, \
                       add `use handlers as _;`, or name them with `.listeners(listeners![…])`";
        return Err(problem.to_owned().into());
    }
    Ok(found)
}

async fn open_store(config: &Config, clock: &Clock) -> Result<SharedStore> {
    if config.migrate {
        migrations::migrate(&config.database_url).await?;
    } else {
        migrations::check(&config.database_url).await?.require_current()?;
    }
    let store = stores::open(&StoreOptions {
        url: config.database_url.clone(),
        max_connections: config.max_connections,
        clock: clock.clone(),
    })
    .await?;
    clock.follow(store.now().await?);
    Ok(store)
}

/// What every task is started with.
struct Starting {
    config: Config,
    store: SharedStore,
    clock: Clock,
    broker: Arc<dyn Broker>,
    published: Arc<watch::Sender<u64>>,
    instance: Arc<Instance>,
    publisher: Publisher,
    tasks: TaskTracker,
    stopping: CancellationToken,
}

impl Starting {
    async fn new(config: Config, store: SharedStore, clock: Clock, groups: &Groups) -> Result<Self> {
        let published = Arc::new(watch::Sender::default());
        let broker = brokers::open(BrokerOptions {
            url: config.broker_url.clone(),
            store: Arc::clone(&store),
            clock: clock.clone(),
            embedded_partitions: config.embedded_partitions,
            poll_interval: config.poll_interval,
            published: published.subscribe(),
        })
        .await?;
        let name = config.instance.clone().unwrap_or_else(default_instance_name);
        let (service, lease) = (config.service.clone(), config.lease);
        let topics = dead_letter_topics(groups);
        let instance = Instance::enter(Arc::clone(&store), clock.clone(), lease, service, name, topics).await?;
        Ok(Self {
            publisher: Publisher::new(Arc::clone(&store), &config.service, clock.clone()),
            instance: Arc::new(instance),
            config,
            store,
            clock,
            broker,
            published,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        })
    }

    async fn start(self, groups: Groups, states: Arc<States>) -> Result<Handle> {
        self.tasks.spawn(Arc::clone(&self.instance).run(self.stopping.clone()));
        self.tasks.spawn(self.relay().run());
        let mut running = Vec::new();
        for (name, listeners) in groups {
            running.push(self.start_group(name, listeners, Arc::clone(&states)).await?);
        }
        self.tasks.spawn(stop_when_fenced(Arc::clone(&self.instance), running.clone(), self.stopping.clone()));
        self.tasks.close();
        Ok(Handle::new(Running {
            groups: running,
            store: self.store,
            clock: self.clock,
            config: self.config,
            broker: self.broker,
            instance: self.instance,
            publisher: self.publisher,
            tasks: self.tasks,
            stopping: self.stopping,
            draining: CancellationToken::new(),
        }))
    }

    fn relay(&self) -> Relay {
        let shards = (0..OUTBOX_SHARDS).map(|shard| format!("outbox/{shard}")).collect();
        let (store, id) = (Arc::clone(&self.store), self.instance.id.clone());
        Relay {
            share: Share::new(Arc::clone(&store), self.clock.clone(), "outbox".to_owned(), shards, id),
            unrecovered: Vec::new(),
            store,
            clock: self.clock.clone(),
            outlet: self.broker.outlet(),
            service: self.config.service.clone(),
            batch: self.config.batch,
            poll_interval: self.config.poll_interval,
            published: Arc::clone(&self.published),
            metrics: RelayMetrics::new(self.broker.system()),
            stopping: self.stopping.clone(),
        }
    }

    async fn start_group(
        &self,
        name: String,
        listeners: Vec<Arc<Listener>>,
        states: Arc<States>,
    ) -> Result<Arc<Group>> {
        let request = SubscribeRequest {
            group: name.clone(),
            topics: subscriptions(&listeners),
            instance: self.instance.id.clone(),
            release_timeout: self.config.drain_timeout,
        };
        let topics: Vec<_> = request.topics.iter().map(|topic| topic.topic.clone()).collect();
        self.broker.ensure_topics(&topics).await?;
        let subscription = self.broker.subscribe(request).await?;
        let scope = match self.broker.ownership() {
            Ownership::Partitions => PartitionScope::Owned(Vec::new()),
            Ownership::Competing => PartitionScope::Any,
        };
        let parts = GroupParts {
            name,
            service: self.config.service.clone(),
            instance: self.instance.id.clone(),
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            publisher: self.publisher.clone(),
            states,
            scope,
            batch: usize::try_from(self.config.batch).unwrap_or(usize::MAX),
            poll_interval: self.config.poll_interval,
        };
        let (group, GroupInboxes { reports, pages }) = Group::new(parts, listeners);
        self.tasks.spawn(settle::run(Arc::clone(&group), reports));
        self.tasks.spawn(due::run(Arc::clone(&group), pages));
        self.tasks.spawn(consumer::run(Arc::clone(&group), subscription));
        Ok(group)
    }
}

/// Takes nothing more in once another instance has taken over, and gives back what waits.
async fn stop_when_fenced(instance: Arc<Instance>, groups: Vec<Arc<Group>>, stopping: CancellationToken) {
    tokio::select! {
        () = instance.fenced.cancelled() => groups.iter().for_each(|group| group.stopping.cancel()),
        () = stopping.cancelled() => {}
    }
}

/// The topics of a group. One that any listener needs in order is ordered; the earliest start wins.
fn subscriptions(listeners: &[Arc<Listener>]) -> Vec<TopicSubscription> {
    let mut topics: Vec<TopicSubscription> = Vec::new();
    for listener in listeners {
        for topic in &listener.topics {
            let (order, start) = (listener.options.order, listener.options.start);
            match topics.iter_mut().find(|known| known.topic == *topic) {
                Some(known) => {
                    if order == Order::Key {
                        known.order = order;
                    }
                    if start == crate::listen::Start::Earliest {
                        known.start = start;
                    }
                }
                None => topics.push(TopicSubscription { topic: topic.clone(), order, start }),
            }
        }
    }
    topics
}

/// Host and process: stable for as long as the process lives.
fn default_instance_name() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|host| !host.is_empty());
    format!("{}:{}", host.as_deref().unwrap_or("localhost"), std::process::id())
}

impl Handle {
    /// Runs a task of the service's own.
    fn run_task(&self, task: super::setup::Task) {
        let name = task.name;
        let future = (task.start)(self.clone());
        self.running().tasks.spawn(async move {
            if let Err(error) = future.await {
                tracing::error!(task = name, error = chain(&*error), "a task of the service failed");
            }
        });
    }
}
