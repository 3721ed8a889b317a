use crate::support::cluster::Cluster;
#[test]
fn debug() {
    let mut cluster = Cluster::settled("ab", 3);
    cluster.master('2', "ab");
    cluster.run("1a 2b", 3_100);
    println!("{:?} {:?}", cluster.unavailable('2'), cluster.ack('b'));
    let from = crate::support::at(5000);
    let waits = cluster.append('1', 3);
    cluster.run("1ab", 2_000);
    println!("{:?} {:?}", cluster.answer('1', waits), cluster.unavailable('1'));
    for s in cluster.sent_since(from) { println!("{:?} {} {:?} {:?}", s.at, s.from, s.out.to, match &s.out.message { replog_protocol::wire::Message::Append(a) => format!("{:?} {} {}", a.leader.epoch.n, a.prev.seq, a.last()), replog_protocol::wire::Message::Ack(a) => format!("{:?} {} {}", a.epoch.n, a.upto, a.last.seq), o=>format!("{o:?}") }) }
}
#[test]
fn debug2() {
    use crate::support::{journal::Journal,log,epoch};
    let better = Journal::of(log(1), &[(2, epoch(1, 1)), (3, epoch(2, 2))]);
    let mut cluster = Cluster::default();
    cluster.start('a', better.clone());
    cluster.start_master('3', "a", Journal::of(log(1), &[(4, epoch(1,1))]));
    cluster.run("3a", 5_000);
    for e in cluster.events('3') { println!("{e:?}"); }
    for s in &cluster.trace { println!("{:?} {} {:?} {:?}", s.at, s.from, s.out.to, match &s.out.message { replog_protocol::wire::Message::Append(a) => format!("{:?} {} {}", a.leader.epoch.n, a.prev.seq, a.last()), replog_protocol::wire::Message::Ack(a) => format!("{:?} {} {}", a.epoch.n, a.upto, a.last.seq), o=>format!("{o:?}") }.chars().take(900).collect::<String>()) }
}
