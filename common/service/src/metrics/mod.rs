//! Metrics, as Prometheus reads them from `GET /metrics`.
//!
//! What a node knows of itself (positions, members, what waits) is read off the node at each scrape, and not kept a second time.
//! Only what would be forgotten is counted as it happens: by the node's task ([`NodeMetrics`]) and by the HTTP server
//! ([`HttpMetrics`]). Nothing is global: who counts is handed what to count in.
//!
//! | file | is |
//! |---|---|
//! | [`page`] | the answer to one scrape, in the making: the only file that knows the library |
//! | [`node`], [`growth`] | what a node's task counts; when the log grew, for lag in seconds |
//! | [`http`] | what the HTTP server counts |
//! | [`process`] | the process, as every Prometheus client tells it, and the build |
//! | [`scraper`] | what both programs say at a scrape |

pub mod growth;
pub mod http;
pub mod node;
pub mod page;
pub mod process;
pub mod scraper;

pub use http::{HttpLimit, HttpMetrics};
pub use node::NodeMetrics;
pub use page::MetricsPage;
pub use process::ProcessInfo;
pub use scraper::Scraper;
