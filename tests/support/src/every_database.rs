//! One scenario, one test on each database.

/// Makes a test on SQLite and one on PostgreSQL of each scenario `async fn name(db: Database)`.
///
/// The tests' names contain `postgres` where they need a server, so that `tests/run --embedded` leaves them out, and
/// its last lines say so. Run in any other way without a server they fail, and say how to get one.
#[macro_export]
macro_rules! on_every_database {
    ($($scenario:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    let db = $crate::Database::create($crate::Engine::Sqlite).await;
                    $crate::within($crate::DEADLINE, super::$scenario(db)).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    let db = $crate::Database::create($crate::Engine::Postgres).await;
                    $crate::within($crate::DEADLINE, super::$scenario(db)).await;
                }
            )+
        }
    };
}

/// Makes a test on PostgreSQL alone of each scenario that only a server can be put through.
#[macro_export]
macro_rules! on_postgres {
    ($($scenario:ident),+ $(,)?) => {
        mod only_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    let db = $crate::Database::create($crate::Engine::Postgres).await;
                    $crate::within($crate::DEADLINE, super::$scenario(db)).await;
                }
            )+
        }
    };
}
