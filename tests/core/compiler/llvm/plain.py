"""Plain kernels, one number at a time, that the tests of the engine, the cache and the pool run."""

from __future__ import annotations

from nasturtium.core.compiler.llvm import Kernel, Slot


def axpy(name: str = "axpy") -> Kernel:
    """y[i] = a * x[i] + y[i] for the i of thread tid."""
    return Kernel(
        name=name,
        ir=f"""define void @{name}(ptr %args, i64 %tid, i64 %nt) nounwind {{
entry:
  %x.at = getelementptr i64, ptr %args, i64 1
  %a.at = getelementptr i64, ptr %args, i64 2
  %n.at = getelementptr i64, ptr %args, i64 3
  %y = load ptr, ptr %args
  %x = load ptr, ptr %x.at
  %a = load float, ptr %a.at
  %n = load i64, ptr %n.at
  %lo.n = mul i64 %n, %tid
  %lo = sdiv i64 %lo.n, %nt
  %next = add i64 %tid, 1
  %hi.n = mul i64 %n, %next
  %hi = sdiv i64 %hi.n, %nt
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %i.next, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %x.i = getelementptr float, ptr %x, i64 %i
  %y.i = getelementptr float, ptr %y, i64 %i
  %u = load float, ptr %x.i
  %v = load float, ptr %y.i
  %au = fmul float %a, %u
  %sum = fadd float %au, %v
  store float %sum, ptr %y.i
  %i.next = add i64 %i, 1
  br label %head
done:
  ret void
}}""",
        slots=(Slot("y", "ptr"), Slot("x", "ptr"), Slot("a", "f32"), Slot("n", "i64")),
    )


# threads[tid] += nt
COUNT = Kernel(
    name="count",
    ir="""define void @count(ptr %args, i64 %tid, i64 %nt) nounwind {
  %threads = load ptr, ptr %args
  %at = getelementptr i64, ptr %threads, i64 %tid
  %old = load i64, ptr %at
  %new = add i64 %old, %nt
  store i64 %new, ptr %at
  ret void
}""",
    slots=(Slot("threads", "ptr"),),
)

# Thread 1 looks at `turns` that often; the others do nothing.
LATE = Kernel(
    name="late",
    ir="""define void @late(ptr %args, i64 %tid, i64 %nt) nounwind {
entry:
  %late = icmp eq i64 %tid, 1
  br i1 %late, label %loop, label %done
loop:
  %i = phi i64 [ 0, %entry ], [ %i.next, %loop ]
  %turns = load volatile i64, ptr %args
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %turns
  br i1 %more, label %loop, label %done
done:
  ret void
}""",
    slots=(Slot("turns", "i64"),),
)

# values[tid + 1] = values[tid] + 1, thread 0 first: what its neighbour wrote in the step before
HAND_ON = Kernel(
    name="hand_on",
    ir="""define void @hand_on(ptr %args, i64 %tid, i64 %nt) nounwind {
entry:
  %turn.at = getelementptr i64, ptr %args, i64 1
  %values = load ptr, ptr %args
  %turn = load i64, ptr %turn.at
  %whose = srem i64 %turn, %nt
  %mine = icmp eq i64 %whose, %tid
  br i1 %mine, label %write, label %done
write:
  %from = getelementptr i64, ptr %values, i64 %turn
  %to = getelementptr i64, ptr %from, i64 1
  %old = load i64, ptr %from
  %new = add i64 %old, 1
  store i64 %new, ptr %to
  br label %done
done:
  ret void
}""",
    slots=(Slot("values", "ptr"), Slot("turn", "i64")),
)

# Thread 0 of the first call waits, but not for ever, until thread 1 has made the second; values[1] says whether it did
SIGNAL = Kernel(
    name="signal",
    ir="""define void @signal(ptr %args, i64 %tid, i64 %nt) nounwind {
entry:
  %turn.at = getelementptr i64, ptr %args, i64 1
  %values = load ptr, ptr %args
  %turn = load i64, ptr %turn.at
  %mine = icmp eq i64 %turn, %tid
  br i1 %mine, label %which, label %done
which:
  %first = icmp eq i64 %turn, 0
  br i1 %first, label %wait, label %tell
tell:
  store atomic i64 1, ptr %values release, align 8
  br label %done
wait:
  %tries = phi i64 [ 0, %which ], [ %more, %again ]
  %seen = load atomic i64, ptr %values acquire, align 8
  %there = icmp eq i64 %seen, 1
  br i1 %there, label %yes, label %again
again:
  %more = add i64 %tries, 1
  %enough = icmp eq i64 %more, 2000000000
  br i1 %enough, label %done, label %wait
yes:
  %answer = getelementptr i64, ptr %values, i64 1
  store i64 1, ptr %answer
  br label %done
done:
  ret void
}""",
    slots=(Slot("values", "ptr"), Slot("turn", "i64")),
)
