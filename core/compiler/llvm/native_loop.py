"""The native loop that runs a program, and how its threads meet: LLVM IR, compiled once for a machine.

Every thread walks the same table of records (kernel, its arguments) and calls `kernel(args, tid, nt)`. A record without
a kernel is a barrier; in place of the arguments stands the number of threads that need not meet there, or 0. Workers
wait for the job word of their team to change: they spin for a while, which costs a microsecond where work follows work,
and then sleep on a condition variable of the C library. The job word holds a count of jobs above sixteen bits of how
many threads take part, so that whoever does not take part learns it in the same load and touches nothing else.

The functions of the module:

    run(team, table, records, threads, control, times)   as thread 0, with threads - 1 workers, until all are done
    work(worker)                                         the body of a worker, until `stop`
    stop(team)                                           all workers leave
    pause(count)                                         spin; to measure how long a spin is
    control()                                            the control word of the floating-point unit, 0 if unknown
"""

from __future__ import annotations

from .target import Target

# A team is one block of memory. What one thread writes while others spin on something else has a line of its own.
JOB = 0  # i64: count of jobs << 16 | threads of this one; LEAVE threads: everybody ends
ARRIVED = 128  # i64: threads that wait in the barrier
PHASE = 256  # i64: barriers passed
SLEEPERS = 384  # i64: threads that sleep or are about to
TABLE, RECORDS, CONTROL, TIMES = 512, 520, 528, 536  # what `run` was called with
NEW = 544  # i64: whether there are workers that never ran
CREDIT = 552  # i64: > 0 while it has helped to send workers away from the caller's core
BARRIER_SPINS, IDLE_SPINS = 640, 704  # of barriers, and of waits for a job: the words that follow, an i64 each
NOW, MOST, LEFT, PAUSE, EARLY = range(5)  # looks before sleeping: now, at most; sleeps before a long spin; see `wait`
LOCK, UNLOCK, WAIT, BROADCAST = 768, 776, 784, 792  # pthread_mutex_lock and so on
CLOCK, CLOCK_ID = 800, 808  # clock_gettime and which clock
CPU, ALLOWED, ALLOW = 816, 824, 832  # sched_getcpu, sched_getaffinity, pthread_setaffinity_np, or 0
MUTEX, CONDITION = 896, 1024  # of the C library, at most 128 bytes each
CPUS, OTHERS = 1152, 1280  # where the caller may run, a bit for each CPU; the same without where it does
WORKERS = 1408  # {ptr team, i64 tid, i64 job seen, i64 pthread_t, i64 jobs for which it is sent to OTHERS} each
WORKER_BYTES = 40
MASK_WORDS = 16  # of a set of CPUs
LEAVE = 0xFFFF
FEWEST_SPINS = 64  # a microsecond or two
FIRST_PAUSE, LONGEST_PAUSE = 8, 1024  # sleeps between two long spins: after one that helped, and at most
PATIENCE = 16  # times as long as now, the caller waits for workers that it has sent away from its core
MOST_CREDIT, PRICE, REST = 8, 4, -256  # of sending: at most, what it costs in vain, and how often it is left then

FUNCTIONS = ("run", "work", "stop", "pause", "control")

# Round to nearest, no traps; the second also takes denormal numbers for zero, which some CPUs are slow with.
CONTROL_WORDS = {"x86": (0x1F80, 0x9FC0), "arm": (0, 1 << 24)}


def family_of(target: Target) -> str:
    """The table row of a machine: "x86", "arm" or "other"."""
    machine = target.triple.split("-")[0]
    return "x86" if machine in ("x86_64", "amd64") else "arm" if machine in ("aarch64", "arm64") else "other"


def loop_source(target: Target) -> str:
    """The module for one machine."""
    return _MACHINE[family_of(target)] + _COMMON


_MACHINE = {
    "x86": """
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal void @breathe() alwaysinline nounwind {
  call void @llvm.x86.sse2.pause()
  ret void
}
define i64 @control() nounwind {
  %at = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %at)
  %short = load i32, ptr %at
  %long = zext i32 %short to i64
  ret i64 %long
}
define internal void @set_control(i64 %long) nounwind {
  %at = alloca i32
  %short = trunc i64 %long to i32
  store i32 %short, ptr %at
  call void @llvm.x86.sse.ldmxcsr(ptr %at)
  ret void
}
""",
    "arm": """
declare void @llvm.aarch64.isb(i32)
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal void @breathe() nounwind {
  call void @llvm.aarch64.isb(i32 15)
  ret void
}
define i64 @control() nounwind {
  %word = call i64 @llvm.aarch64.get.fpcr()
  ret i64 %word
}
define internal void @set_control(i64 %word) nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %word)
  ret void
}
""",
    "other": """
define internal void @breathe() nounwind {
  ret void
}
define i64 @control() nounwind {
  ret i64 0
}
define internal void @set_control(i64 %word) nounwind {
  ret void
}
""",
}

_COMMON = f"""
declare i64 @llvm.ctpop.i64(i64)

define void @pause(i64 %count) nounwind {{
entry:
  br label %loop
loop:
  %left = phi i64 [ %count, %entry ], [ %less, %loop ]
  call void @breathe()
  %less = sub i64 %left, 1
  %more = icmp sgt i64 %less, 0
  br i1 %more, label %loop, label %done
done:
  ret void
}}

; Where cores have other work, a worker that is sent away waits longer there than for the caller's turn to end.
define internal i1 @worth(ptr %team) nounwind {{
  %at = getelementptr i8, ptr %team, i64 {CREDIT}
  %credit = load i64, ptr %at
  %some = icmp sgt i64 %credit, 0
  br i1 %some, label %yes, label %no
yes:
  ret i1 true
no:
  %nearer = add i64 %credit, 1
  %zero = icmp eq i64 %nearer, 0
  %new = select i1 %zero, i64 {PRICE}, i64 %nearer
  store i64 %new, ptr %at
  ret i1 false
}}

define internal void @account(ptr %team, i64 %change) nounwind {{
  %at = getelementptr i8, ptr %team, i64 {CREDIT}
  %credit = load i64, ptr %at
  %sum = add i64 %credit, %change
  %much = icmp sgt i64 %sum, {MOST_CREDIT}
  %most = select i1 %much, i64 {MOST_CREDIT}, i64 %sum
  %some = icmp sgt i64 %most, 0
  %new = select i1 %some, i64 %most, i64 {REST}
  store i64 %new, ptr %at
  ret void
}}

; The value of `word` once it is no longer `old`. A sleeper counts itself before it looks for the last time, and who
; changes a word looks for sleepers afterwards: one of the two sees the other.
; Who had to sleep spun in vain, and the next spin is an eighth as long, who saw the change doubles it: threads that
; share a core, or wait for one that was put off its core, soon sleep at once. Down at the fewest there is a long spin
; now and then, less often each time that one was in vain.
; The caller, which waits for `nt` threads, sees to it early that they do not wait for its own core; 0 for who does not.
define internal i64 @wait(ptr %team, ptr %word, i64 %old, ptr %budget, i64 %nt) nounwind {{
entry:
  %most.at = getelementptr i64, ptr %budget, i64 {MOST}
  %left.at = getelementptr i64, ptr %budget, i64 {LEFT}
  %pause.at = getelementptr i64, ptr %budget, i64 {PAUSE}
  %early.at = getelementptr i64, ptr %budget, i64 {EARLY}
  %most = load i64, ptr %most.at
  %early = load i64, ptr %early.at
  %spins = load atomic i64, ptr %budget monotonic, align 8
  %calls = icmp ne i64 %nt, 0
  %longer.than = icmp sgt i64 %spins, %early
  %part = and i1 %calls, %longer.than
  %first = select i1 %part, i64 %early, i64 %spins
  br label %spin
spin:
  %left = phi i64 [ %first, %entry ], [ %less, %again ], [ %longest, %move ], [ %rest, %stay ]
  %doubt = phi i1 [ %calls, %entry ], [ %doubt, %again ], [ false, %move ], [ false, %stay ]
  %sent = phi i1 [ false, %entry ], [ %sent, %again ], [ true, %move ], [ false, %stay ]
  %now = load atomic i64, ptr %word acquire, align 8
  %same = icmp eq i64 %now, %old
  br i1 %same, label %again, label %seen
again:
  call void @breathe()
  %less = sub i64 %left, 1
  %more = icmp sgt i64 %less, 0
  br i1 %more, label %spin, label %spent
spent:
  br i1 %doubt, label %try, label %over
over:
  br i1 %sent, label %pay, label %sleep
pay:
  call void @account(ptr %team, i64 {-PRICE})
  br label %sleep
try:
  %worth = call i1 @worth(ptr %team)
  br i1 %worth, label %move, label %stay
move:
  call void @spread(ptr %team, i64 %nt)
  %patient = mul i64 %spins, {PATIENCE}
  %enough = icmp slt i64 %patient, %most
  %longest = select i1 %enough, i64 %patient, i64 %most
  br label %spin
stay:
  %rest = sub i64 %spins, %first
  %some = icmp sgt i64 %rest, 0
  br i1 %some, label %spin, label %sleep
seen:
  br i1 %sent, label %gain, label %met
gain:
  call void @account(ptr %team, i64 1)
  br label %met
met:
  %full = icmp sge i64 %spins, %most
  br i1 %full, label %helped, label %raise
helped:
  %pause.was = load atomic i64, ptr %pause.at monotonic, align 8
  %usual = icmp eq i64 %pause.was, {FIRST_PAUSE}
  br i1 %usual, label %go, label %forgive
forgive:
  store atomic i64 {FIRST_PAUSE}, ptr %pause.at monotonic, align 8
  br label %go
raise:
  %twice = shl i64 %spins, 1
  %below = icmp slt i64 %twice, %most
  %longer = select i1 %below, i64 %twice, i64 %most
  store atomic i64 %longer, ptr %budget monotonic, align 8
  br label %go
go:
  ret i64 %now
sleep:
  %few = icmp sle i64 %spins, {FEWEST_SPINS}
  br i1 %few, label %count, label %shorten
shorten:
  %eighth = lshr i64 %spins, 3
  %enough.left = icmp sgt i64 %eighth, {FEWEST_SPINS}
  %shorter = select i1 %enough.left, i64 %eighth, i64 {FEWEST_SPINS}
  store atomic i64 %shorter, ptr %budget monotonic, align 8
  br label %lie
count:
  %sleeps = load atomic i64, ptr %left.at monotonic, align 8
  %fewer = sub i64 %sleeps, 1
  %due = icmp sle i64 %fewer, 0
  br i1 %due, label %probe, label %keep
keep:
  store atomic i64 %fewer, ptr %left.at monotonic, align 8
  br label %lie
probe:
  %pause = load atomic i64, ptr %pause.at monotonic, align 8
  %rarer = shl i64 %pause, 1
  %under = icmp slt i64 %rarer, {LONGEST_PAUSE}
  %next = select i1 %under, i64 %rarer, i64 {LONGEST_PAUSE}
  store atomic i64 %next, ptr %pause.at monotonic, align 8
  store atomic i64 %next, ptr %left.at monotonic, align 8
  store atomic i64 %most, ptr %budget monotonic, align 8
  br label %lie
lie:
  %mutex = getelementptr i8, ptr %team, i64 {MUTEX}
  %condition = getelementptr i8, ptr %team, i64 {CONDITION}
  %sleepers = getelementptr i8, ptr %team, i64 {SLEEPERS}
  %lock.at = getelementptr i8, ptr %team, i64 {LOCK}
  %unlock.at = getelementptr i8, ptr %team, i64 {UNLOCK}
  %doze.at = getelementptr i8, ptr %team, i64 {WAIT}
  %lock = load ptr, ptr %lock.at
  %unlock = load ptr, ptr %unlock.at
  %doze = load ptr, ptr %doze.at
  %locked = call i32 %lock(ptr %mutex)
  %before = atomicrmw add ptr %sleepers, i64 1 seq_cst
  br label %look
look:
  %late = load atomic i64, ptr %word seq_cst, align 8
  %still = icmp eq i64 %late, %old
  br i1 %still, label %nap, label %awake
nap:
  %woken = call i32 %doze(ptr %condition, ptr %mutex)
  br label %look
awake:
  %after = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  %unlocked = call i32 %unlock(ptr %mutex)
  ret i64 %late
}}

define internal void @publish(ptr %team, ptr %word, i64 %value) nounwind {{
entry:
  %sleepers = getelementptr i8, ptr %team, i64 {SLEEPERS}
  %was = atomicrmw xchg ptr %word, i64 %value seq_cst
  %asleep = load atomic i64, ptr %sleepers seq_cst, align 8
  %any = icmp ne i64 %asleep, 0
  br i1 %any, label %wake, label %done
wake:
  %mutex = getelementptr i8, ptr %team, i64 {MUTEX}
  %condition = getelementptr i8, ptr %team, i64 {CONDITION}
  %lock.at = getelementptr i8, ptr %team, i64 {LOCK}
  %unlock.at = getelementptr i8, ptr %team, i64 {UNLOCK}
  %broadcast.at = getelementptr i8, ptr %team, i64 {BROADCAST}
  %lock = load ptr, ptr %lock.at
  %unlock = load ptr, ptr %unlock.at
  %broadcast = load ptr, ptr %broadcast.at
  %locked = call i32 %lock(ptr %mutex)
  %told = call i32 %broadcast(ptr %condition)
  %unlocked = call i32 %unlock(ptr %mutex)
  br label %done
done:
  ret void
}}

; Workers must not wait for the core that the caller is on. Schedulers wake them there, and take milliseconds to notice.
define internal void @spread(ptr %team, i64 %nt) nounwind {{
entry:
  %allow.at = getelementptr i8, ptr %team, i64 {ALLOW}
  %allow = load ptr, ptr %allow.at
  %none = icmp eq ptr %allow, null
  br i1 %none, label %done, label %ask
ask:
  %allowed.at = getelementptr i8, ptr %team, i64 {ALLOWED}
  %cpu.at = getelementptr i8, ptr %team, i64 {CPU}
  %cpus = getelementptr i8, ptr %team, i64 {CPUS}
  %others = getelementptr i8, ptr %team, i64 {OTHERS}
  %allowed = load ptr, ptr %allowed.at
  %where = load ptr, ptr %cpu.at
  %failed = call i32 %allowed(i32 0, i64 {8 * MASK_WORDS}, ptr %cpus)
  %short = call i32 %where()
  %here = sext i32 %short to i64
  %word = lshr i64 %here, 6
  %bit = and i64 %here, 63
  %one = shl i64 1, %bit
  %known = icmp ult i64 %here, {64 * MASK_WORDS}
  %found = icmp eq i32 %failed, 0
  %fine = and i1 %known, %found
  br i1 %fine, label %copy, label %done
copy:
  %i = phi i64 [ 0, %ask ], [ %i.next, %copy ]
  %any = phi i64 [ 0, %ask ], [ %more, %copy ]
  %cores = phi i64 [ 0, %ask ], [ %count, %copy ]
  %from = getelementptr i64, ptr %cpus, i64 %i
  %to = getelementptr i64, ptr %others, i64 %i
  %all = load i64, ptr %from
  %mine = icmp eq i64 %i, %word
  %out = select i1 %mine, i64 %one, i64 0
  %keep = xor i64 %out, -1
  %rest = and i64 %all, %keep
  store i64 %rest, ptr %to
  %more = or i64 %any, %rest
  %bits = call i64 @llvm.ctpop.i64(i64 %all)
  %count = add i64 %cores, %bits
  %i.next = add i64 %i, 1
  %copied = icmp eq i64 %i.next, {MASK_WORDS}
  br i1 %copied, label %check, label %copy
check:
  %alone = icmp eq i64 %more, 0
  %crowded = icmp slt i64 %count, %nt
  %stay = or i1 %alone, %crowded
  br i1 %stay, label %done, label %send
send:
  %tid = phi i64 [ 1, %check ], [ %tid.next, %send ]
  %place = mul i64 %tid, {WORKER_BYTES}
  %place.from = add i64 %place, {WORKERS - WORKER_BYTES}
  %worker = getelementptr i8, ptr %team, i64 %place.from
  %thread.at = getelementptr i64, ptr %worker, i64 3
  %sent.at = getelementptr i64, ptr %worker, i64 4
  %thread = load i64, ptr %thread.at
  store i64 2, ptr %sent.at
  %set = call i32 %allow(i64 %thread, i64 {8 * MASK_WORDS}, ptr %others)
  %tid.next = add i64 %tid, 1
  %last = icmp sge i64 %tid.next, %nt
  br i1 %last, label %done, label %send
done:
  ret void
}}

; A worker that was sent away stays there for a job; then it may go again where the caller may.
define internal void @settle(ptr %team, ptr %worker) nounwind {{
entry:
  %sent.at = getelementptr i64, ptr %worker, i64 4
  %sent = load i64, ptr %sent.at
  %stayed = icmp eq i64 %sent, 0
  br i1 %stayed, label %done, label %count
count:
  %left = sub i64 %sent, 1
  store i64 %left, ptr %sent.at
  %over = icmp eq i64 %left, 0
  br i1 %over, label %free, label %done
free:
  %thread.at = getelementptr i64, ptr %worker, i64 3
  %thread = load i64, ptr %thread.at
  %allow.at = getelementptr i8, ptr %team, i64 {ALLOW}
  %allow = load ptr, ptr %allow.at
  %cpus = getelementptr i8, ptr %team, i64 {CPUS}
  %set = call i32 %allow(i64 %thread, i64 {8 * MASK_WORDS}, ptr %cpus)
  br label %done
done:
  ret void
}}

define internal void @barrier(ptr %team, i64 %tid, i64 %nt) nounwind {{
entry:
  %arrived = getelementptr i8, ptr %team, i64 {ARRIVED}
  %phase = getelementptr i8, ptr %team, i64 {PHASE}
  %spins.at = getelementptr i8, ptr %team, i64 {BARRIER_SPINS}
  %old = load atomic i64, ptr %phase acquire, align 8
  %before = atomicrmw add ptr %arrived, i64 1 acq_rel
  %count = add i64 %before, 1
  %last = icmp eq i64 %count, %nt
  br i1 %last, label %open, label %others
open:
  store atomic i64 0, ptr %arrived monotonic, align 8
  %new = add i64 %old, 1
  call void @publish(ptr %team, ptr %phase, i64 %new)
  ret void
others:
  %calls = icmp eq i64 %tid, 0
  %of = select i1 %calls, i64 %nt, i64 0
  %passed = call i64 @wait(ptr %team, ptr %phase, i64 %old, ptr %spins.at, i64 %of)
  ret void
}}

define internal void @stamp(ptr %team, ptr %times, i64 %place) nounwind {{
  %pair = alloca [2 x i64]
  %clock.at = getelementptr i8, ptr %team, i64 {CLOCK}
  %id.at = getelementptr i8, ptr %team, i64 {CLOCK_ID}
  %clock = load ptr, ptr %clock.at
  %id = load i32, ptr %id.at
  %read = call i32 %clock(i32 %id, ptr %pair)
  %seconds = load i64, ptr %pair
  %rest.at = getelementptr i64, ptr %pair, i64 1
  %rest = load i64, ptr %rest.at
  %whole = mul i64 %seconds, 1000000000
  %now = add i64 %whole, %rest
  %at = getelementptr i64, ptr %times, i64 %place
  store i64 %now, ptr %at
  ret void
}}

define internal void @walk(ptr %team, ptr %table, i64 %records, i64 %tid, i64 %nt, ptr %times) nounwind {{
entry:
  %first = icmp eq i64 %tid, 0
  %asked = icmp ne ptr %times, null
  %timed = and i1 %first, %asked
  br i1 %timed, label %start, label %head
start:
  call void @stamp(ptr %team, ptr %times, i64 0)
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ 0, %start ], [ %i.next, %next ]
  %more = icmp slt i64 %i, %records
  br i1 %more, label %record, label %done
record:
  %at = getelementptr [2 x ptr], ptr %table, i64 %i
  %args.at = getelementptr ptr, ptr %at, i64 1
  %kernel = load ptr, ptr %at
  %args = load ptr, ptr %args.at
  %meet = icmp eq ptr %kernel, null
  br i1 %meet, label %alone, label %call
call:
  call void %kernel(ptr %args, i64 %tid, i64 %nt)
  br label %after
alone:
  %single = icmp eq i64 %nt, 1
  %free = ptrtoint ptr %args to i64
  %exempt = icmp eq i64 %nt, %free
  %pass = or i1 %single, %exempt
  br i1 %pass, label %after, label %together
together:
  call void @barrier(ptr %team, i64 %tid, i64 %nt)
  br label %after
after:
  %i.next = add i64 %i, 1
  br i1 %timed, label %time, label %next
time:
  call void @stamp(ptr %team, ptr %times, i64 %i.next)
  br label %next
next:
  br label %head
done:
  ret void
}}

define void @run(ptr %team, ptr %table, i64 %records, i64 %nt, i64 %control, ptr %times) nounwind {{
entry:
  %before = call i64 @control()
  call void @set_control(i64 %control)
  %many = icmp sgt i64 %nt, 1
  br i1 %many, label %begin, label %walk
begin:
  %table.at = getelementptr i8, ptr %team, i64 {TABLE}
  %records.at = getelementptr i8, ptr %team, i64 {RECORDS}
  %control.at = getelementptr i8, ptr %team, i64 {CONTROL}
  %times.at = getelementptr i8, ptr %team, i64 {TIMES}
  store ptr %table, ptr %table.at
  store i64 %records, ptr %records.at
  store i64 %control, ptr %control.at
  store ptr %times, ptr %times.at
  %old = load atomic i64, ptr %team monotonic, align 8
  %jobs = lshr i64 %old, 16
  %job = add i64 %jobs, 1
  %high = shl i64 %job, 16
  %word = or i64 %high, %nt
  %sleepers = getelementptr i8, ptr %team, i64 {SLEEPERS}
  %asleep = load atomic i64, ptr %sleepers monotonic, align 8
  %new.at = getelementptr i8, ptr %team, i64 {NEW}
  %new = load i64, ptr %new.at
  %either = or i64 %asleep, %new
  %any = icmp ne i64 %either, 0
  br i1 %any, label %ask, label %publish
ask:
  store i64 0, ptr %new.at
  %worth = call i1 @worth(ptr %team)
  br i1 %worth, label %spread, label %publish
spread:
  call void @spread(ptr %team, i64 %nt)
  br label %publish
publish:
  call void @publish(ptr %team, ptr %team, i64 %word)
  br label %walk
walk:
  call void @walk(ptr %team, ptr %table, i64 %records, i64 0, i64 %nt, ptr %times)
  br i1 %many, label %end, label %done
end:
  call void @barrier(ptr %team, i64 0, i64 %nt)
  br label %done
done:
  call void @set_control(i64 %before)
  ret void
}}

define ptr @work(ptr %worker) nounwind {{
entry:
  %tid.at = getelementptr i64, ptr %worker, i64 1
  %seen.at = getelementptr i64, ptr %worker, i64 2
  %team = load ptr, ptr %worker
  %tid = load i64, ptr %tid.at
  %first = load i64, ptr %seen.at
  %spins.at = getelementptr i8, ptr %team, i64 {IDLE_SPINS}
  br label %idle
idle:
  %seen = phi i64 [ %first, %entry ], [ %job, %look ], [ %job, %share ]
  %job = call i64 @wait(ptr %team, ptr %team, i64 %seen, ptr %spins.at, i64 0)
  %nt = and i64 %job, {LEAVE}
  %over = icmp eq i64 %nt, {LEAVE}
  br i1 %over, label %leave, label %look
look:
  %mine = icmp slt i64 %tid, %nt
  br i1 %mine, label %share, label %idle
share:
  call void @settle(ptr %team, ptr %worker)
  %table.at = getelementptr i8, ptr %team, i64 {TABLE}
  %records.at = getelementptr i8, ptr %team, i64 {RECORDS}
  %control.at = getelementptr i8, ptr %team, i64 {CONTROL}
  %times.at = getelementptr i8, ptr %team, i64 {TIMES}
  %table = load ptr, ptr %table.at
  %records = load i64, ptr %records.at
  %control = load i64, ptr %control.at
  %times = load ptr, ptr %times.at
  call void @set_control(i64 %control)
  call void @walk(ptr %team, ptr %table, i64 %records, i64 %tid, i64 %nt, ptr %times)
  call void @barrier(ptr %team, i64 %tid, i64 %nt)
  br label %idle
leave:
  ret ptr null
}}

define void @stop(ptr %team) nounwind {{
  %old = load atomic i64, ptr %team monotonic, align 8
  %word = or i64 %old, {LEAVE}
  call void @publish(ptr %team, ptr %team, i64 %word)
  ret void
}}
"""
