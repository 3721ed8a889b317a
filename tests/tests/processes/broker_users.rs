//! The broker's files as they come with the project: each node has a user of its own, and what that user may do is enough.

use anyhow::{Context, Result, ensure};
use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt;
use replog_tests::harness::{BrokerOptions, Cluster, ClusterBuilder, NatsServer, Node, eventually};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{SOON, wait_equal, wait_health};
use crate::watch::Watch;

/// The users of the shipped files; each has the password that [`password`] says.
const USERS: [(&str, &str); 7] = [
    ("master", "NATS_MASTER_PASSWORD"),
    ("secondary1", "NATS_SECONDARY1_PASSWORD"),
    ("secondary2", "NATS_SECONDARY2_PASSWORD"),
    ("observer", "NATS_OBSERVER_PASSWORD"),
    ("system", "NATS_SYS_PASSWORD"),
    ("scale-master", "NATS_SCALE_MASTER_PASSWORD"),
    ("scale-secondary", "NATS_SCALE_SECONDARY_PASSWORD"),
];

/// Digits at its beginning, a space and signs that mean something to a shell or to nats-server.
pub(crate) fn password(user: &str) -> String {
    format!("1 #$x{user}")
}

/// A broker with a file that comes with the project, as it is.
pub(crate) fn shipped(config: &str) -> BrokerOptions {
    let options = BrokerOptions::default().shipped(config);
    USERS.iter().fold(options, |options, (user, variable)| {
        options.env(variable, &format!("\"{}\"", password(user)))
    })
}

/// Three nodes that are not started yet, around such a broker.
pub(crate) fn nodes(broker: BrokerOptions) -> ClusterBuilder {
    let builder = Cluster::builder().secondaries(2).listed(true);
    builder.broker(broker).absent(0).absent(1).absent(2)
}

/// Starts all nodes, each with the settings that `of` has for its name.
pub(crate) async fn start_with(
    cluster: &mut Cluster,
    of: impl Fn(&str) -> Vec<(String, String)>,
) -> Result<()> {
    for i in 0..=2 {
        let node = match i {
            0 => &mut cluster.master,
            i => cluster.secondary_mut(i),
        };
        let settings = of(node.name());
        node.spec_mut().env.extend(settings);
    }
    cluster.start_nodes().await
}

/// What a node is told to be that user.
pub(crate) fn logged_in(user: &str) -> Vec<(String, String)> {
    vec![
        ("NATS_USER".to_owned(), user.to_owned()),
        ("NATS_PASSWORD".to_owned(), password(user)),
    ]
}

/// Whoever connects to the broker with a user's rights, and hears what the broker refuses.
pub(crate) struct Guest {
    pub(crate) client: Client,
    refusals: mpsc::UnboundedReceiver<String>,
}

impl Guest {
    /// As that user, or as nobody.
    pub(crate) async fn connect(broker: &NatsServer, user: Option<&str>) -> Result<Self> {
        let options = match user {
            Some(user) => ConnectOptions::with_user_and_password(user.into(), password(user)),
            None => ConnectOptions::new(),
        };
        Self::connect_with(broker, options).await
    }

    /// As those options say.
    pub(crate) async fn connect_with(broker: &NatsServer, options: ConnectOptions) -> Result<Self> {
        let (sender, refusals) = mpsc::unbounded_channel();
        let options = options.event_callback(move |event| {
            let sender = sender.clone();
            async move {
                if let Event::ServerError(error) = event {
                    sender.send(error.to_string()).ok();
                }
            }
        });
        let client = timeout(SOON, options.connect(broker.url())).await??;
        Ok(Self { client, refusals })
    }

    /// Waits until the broker has refused what was done with that subject.
    pub(crate) async fn refused(&mut self, of: &str, subject: &str) -> Result<()> {
        let wanted = format!("permissions violation for {of} to \"{subject}\"").to_lowercase();
        let heard = async {
            while let Some(refusal) = self.refusals.recv().await {
                if refusal.to_lowercase().contains(&wanted) {
                    return Ok(());
                }
            }
            anyhow::bail!("the connection ended")
        };
        let heard = timeout(SOON, heard).await;
        heard.with_context(|| format!("{of} to {subject} was not refused"))?
    }

    /// Publishes what the broker has to refuse.
    pub(crate) async fn may_not_say(&mut self, subject: &str, payload: &str) -> Result<()> {
        let payload = payload.to_owned().into();
        self.client.publish(subject.to_owned(), payload).await?;
        self.refused("Publish", subject).await
    }

    /// Subscribes to what the broker has to refuse.
    pub(crate) async fn may_not_hear(&mut self, subject: &str) -> Result<()> {
        let _refused = self.client.subscribe(subject.to_owned()).await?;
        self.refused("Subscription", subject).await
    }
}

/// Neither the broker nor a node has a word of anything that is not permitted.
fn nothing_was_denied(cluster: &Cluster) -> Result<()> {
    let log = cluster.broker.log_tail(10_000);
    let violation = log
        .lines()
        .find(|line| line.to_lowercase().contains("violation"));
    ensure!(violation.is_none(), "{violation:?}");
    for node in cluster.nodes() {
        let log = node.log_tail(10_000);
        let denied = log
            .lines()
            .find(|line| line.to_lowercase().contains("permi"));
        ensure!(denied.is_none(), "{}: {denied:?}", node.name());
    }
    Ok(())
}

/// Who answers as a NATS service.
async fn services(guest: &Guest, count: usize) -> Result<Vec<String>> {
    let inbox = guest.client.new_inbox();
    let mut answers = guest.client.subscribe(inbox.clone()).await?;
    let ping = guest
        .client
        .publish_with_reply("$SRV.PING", inbox, "".into());
    ping.await?;
    let mut names = Vec::new();
    while names.len() < count {
        let answer = timeout(SOON, answers.next()).await?.context("an answer")?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
        let node = answer["metadata"]["node"].as_str();
        names.push(node.context("the node")?.to_owned());
    }
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn each_node_is_a_user_and_whoever_has_none_looks_on() {
    nodes(shipped("nats-server.conf"))
        .run(async |cluster| {
            start_with(cluster, logged_in).await?;
            cluster.post("one", 3).await?.expect(200)?;
            // An empty master asks what they hold, and fetches; a secondary claims its name.
            cluster.master.restart().await?;
            cluster.kill_secondary(2).await?;
            cluster.start_secondary(2).await?;
            cluster.post("two", 3).await?.expect(200)?;
            let mut nobody = Guest::connect(&cluster.broker, None).await?;
            let master = Guest::connect(&cluster.broker, Some("master")).await?;
            let mark = "replog.default.event.master.mark";
            let mut watch = Watch::over(&nobody.client, master.client.clone(), mark).await?;
            cluster.post("three", 3).await?.expect(200)?;
            let seen = watch.so_far().await?;
            for (kind, node) in [("append", "secondary1"), ("ack", "secondary2")] {
                ensure!(seen.iter().any(|s| s.is(kind, node)), "no {kind}: {seen:?}");
            }
            let all = ["master", "secondary1", "secondary2"];
            eventually("all nodes to be services", SOON, async || {
                let found = services(&nobody, 3).await?;
                ensure!(found == all, "{found:?}");
                Ok(())
            })
            .await?;
            nothing_was_denied(cluster)?;

            cluster.broker.restart().await?;
            wait_health(&cluster.master, "broker", "connected").await?;
            cluster.post("four", 3).await?.expect(200)?;
            ensure!(wait_equal(cluster).await? == ["one", "two", "three", "four"]);
            for node in cluster.nodes() {
                wait_health(node, "broker", "connected").await?;
            }
            nothing_was_denied(cluster)?;

            for subject in [
                "replog.default.announce",
                "replog.x",
                "anything",
                "_INBOX.x",
                "$SYS.REQ.SERVER.PING",
            ] {
                nobody.may_not_say(subject, "{}").await?;
            }
            for subject in [">", "$SRV.PING", "$SYS.>"] {
                nobody.may_not_hear(subject).await?;
            }
            let seen = watch.so_far().await?;
            ensure!(seen.iter().all(|s| s.text != "{}"), "{seen:?}");
            Ok(())
        })
        .await;
}

#[tokio::test]
async fn in_public_nobody_looks_on_without_a_password() {
    nodes(shipped("nats-public.conf"))
        .run(async |cluster| {
            start_with(cluster, logged_in).await?;
            cluster.post("one", 3).await?.expect(200)?;
            ensure!(Guest::connect(&cluster.broker, None).await.is_err());
            let observer = Guest::connect(&cluster.broker, Some("observer")).await?;
            ensure!(services(&observer, 3).await?.len() == 3);
            nothing_was_denied(cluster)?;
            // A node without a user, and one with the user of another node.
            for settings in [Vec::new(), logged_in("secondary1")] {
                let mut spec = cluster.secondary(2).spec().clone();
                spec.name = "secondary3".to_owned();
                spec.env
                    .retain(|(name, _)| name != "NATS_USER" && name != "NATS_PASSWORD");
                spec.env.extend(settings);
                let mut node = Node::reserve(spec)?;
                node.spawn()?;
                let code = timeout(SOON, node.exited()).await??;
                let said = node.log_tail(1);
                ensure!(
                    code == 3 && said.contains("the broker refuses"),
                    "{code}: {said}"
                );
            }
            Ok(())
        })
        .await;
}

/// A log whose secondaries nobody knows beforehand, beside the other one.
#[tokio::test]
async fn secondaries_of_any_name_share_a_user_in_a_cluster_of_their_own() {
    let builder = nodes(shipped("nats-server.conf")).env("REPLOG_CLUSTER", "scale");
    builder
        .run(async |cluster| {
            start_with(cluster, |node| match node {
                "master" => logged_in("scale-master"),
                _ => logged_in("scale-secondary"),
            })
            .await?;
            cluster.post("one", 3).await?.expect(200)?;
            nothing_was_denied(cluster)?;
            let mut guest = Guest::connect(&cluster.broker, Some("scale-secondary")).await?;
            guest
                .may_not_say("replog.default.ack.secondary1.1", "{}")
                .await?;
            guest
                .may_not_say("replog.scale.append.secondary1", "{}")
                .await
        })
        .await;
}
