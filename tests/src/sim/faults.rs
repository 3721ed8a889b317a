//! What goes wrong in the simulation, and how it ends.

use crate::sim::world::{Happening, World};

impl World {
    /// Something big goes wrong; the next one follows.
    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        self.report.faults += 1;
        let n = self.random.index(self.nodes.len());
        let pause = self.random.millis(10, 4000);
        match self
            .random
            .between(0, 11 + 2 * u64::from(self.plan.recovery.is_some()))
        {
            0..=2 => self.crash(n),
            3..=4 => {
                self.say(|_| format!("s{n} is cut off for {pause:?}"));
                self.nodes[n].cut_off = true;
                self.later(pause, Happening::Mend(Some(n)));
            }
            5..=6 => {
                self.say(|_| format!("s{n} stops for {pause:?}"));
                self.nodes[n].paused_until = Some(self.now + pause);
                self.later(pause, Happening::Mend(Some(n)));
            }
            7..=8 => {
                self.say(|_| format!("the broker is gone for {pause:?}"));
                self.master.link_down(self.now);
                self.later(pause, Happening::Mend(None));
            }
            9 => {
                self.say(|_| format!("the master stops for {pause:?}"));
                let until = self.now + pause;
                self.master.paused_until = self.master.paused_until.max(Some(until));
                self.later(pause, Happening::Resume);
            }
            10 => {
                self.say(|_| format!("the broker says that nobody listens for s{n}"));
                let node = self.nodes[n].follower.node().clone();
                self.master.leader.no_responders(&node, self.now);
            }
            _ if !self.plan.histories => self.crash(n),
            _ if self.random.happens(if self.plan.recovery.is_some() {
                200
            } else {
                700
            }) =>
            {
                self.clear();
            }
            _ if self.plan.takeovers && self.random.happens(600) => self.take_over(),
            _ => self.rebirth(),
        }
        let half = u64::try_from(self.plan.fault_every.as_millis() / 2).unwrap_or(1);
        let wait = self.random.millis(half, half * 3);
        self.later(wait, Happening::Fault);
    }

    fn crash(&mut self, n: usize) {
        self.report.crashes += 1;
        if self.random.happens(200) {
            self.say(|_| format!("s{n} is cleared"));
            self.nodes[n].clear();
        } else {
            self.say(|_| format!("s{n} crashes and begins anew"));
            self.nodes[n].restart();
        }
        self.later(std::time::Duration::ZERO, Happening::Hello(n));
    }

    fn rebirth(&mut self) {
        self.say(|_| "the master crashes and comes back without its log".into());
        self.master.rebirth(&self.plan, &mut self.random);
        self.clients.lose_master();
        self.nodes.iter_mut().for_each(|n| n.heard = None);
        self.later(std::time::Duration::ZERO, Happening::Mend(None));
    }

    /// A fault is over. Whoever has a connection again says where it stands.
    pub(super) fn mend(&mut self, what: Option<usize>) {
        match what {
            Some(n) => {
                self.say(|_| format!("s{n} is there again"));
                self.nodes[n].cut_off = false;
                self.nodes[n].paused_until = None;
                self.hello(n);
            }
            None => {
                self.say(|_| "the broker is there".into());
                self.master.link_up(self.now);
                if let Some(elder) = &mut self.elder {
                    elder.master.link_up(self.now);
                }
                (0..self.nodes.len()).for_each(|n| self.hello(n));
            }
        }
    }

    /// No faults from now on; what was late is still under way.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.say(|_| "no more faults".into());
        self.master.paused_until = None;
        if let Some(elder) = &mut self.elder {
            elder.master.paused_until = None;
        }
        for n in 0..self.nodes.len() {
            self.mend(Some(n));
        }
        self.mend(None);
    }
}
