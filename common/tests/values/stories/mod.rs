//! Lives of small clusters that went wrong once, step by step.

mod clearing;
mod promises;

use crate::cluster::{Master, Nodes};

/// A first master of those members, which hold so many entries.
fn settled(members: &[&'static str], entries: u128) -> (Master, Nodes) {
    let mut nodes = Nodes::new(&["a", "b", "c"]);
    let mut first = Master::start(1, members);
    first.run(&mut nodes, members, 4000);
    (1..=entries).for_each(|id| first.append(id));
    first.run(&mut nodes, members, 1000);
    (first, nodes)
}

/// A and B hold three entries; B sleeps through the clearing; A holds one entry of the new history. The master lives.
fn cleared() -> (Master, Nodes) {
    let (mut master, mut nodes) = settled(&["a", "b"], 3);
    assert_eq!(nodes.get("b").stored.len(), 3);
    master.clear(77);
    master.run(&mut nodes, &["a"], 1000);
    master.append(11);
    master.run(&mut nodes, &["a"], 1000);
    (master, nodes)
}
