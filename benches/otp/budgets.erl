%% The Erlang side of `cargo bench --bench budgets`. See benches/README.md for what each row measures.
%%
%% `main/0` serves commands, `ROW N`, by `commands.erl`. A command does one run. N is the number of operations, or the
%% number of processes where the row is about a population. The population is made by a row's first command and stays
%% for the next ones, so a VM serves one such row only.
-module(budgets).
-export([main/0]).

-define(KEY, budget).
-define(PAIR_KEY, {budget, pair}).
-define(COLD_KEYS, 10000).
-define(MIXED_TERMS, 200).
-define(MIXED_READS, 8).
-define(FULL_CELLS, 640).
-define(LIVE_CELLS, 10000).
-define(SENDS_PER_RECEIVER, 300).

main() -> commands:main(fun(Row, N) -> run(list_to_existing_atom(Row), N) end).

%% One row, one run.

run(copy_list_1000, N) -> copy(lists:seq(1, 1000), N);
run(copy_tree_1023, N) -> copy(tree(10), N);
run(copy_dag_18, N) -> copy(dag(18), N);
run(send_atom_suspended, N) -> fresh(fun() -> send_suspended(N) end);
run(send_atom, N) -> fresh(fun() -> send_running(N) end);
run(round_trip, N) -> fresh(fun() -> ping_pong(N, ping) / N end);
run(round_trip_after, N) -> fresh(fun() -> round_trip_after(N) end);
run(timer_set_cancel, N) -> fresh(fun() -> set_cancel(N, 1) end);
run(timer_set_cancel_two, N) -> fresh(fun() -> set_cancel(N, 2) end);
run(spawn_exit, N) -> fresh(fun() -> spawn_exit(N) end);
run(idle_process_bytes, N) -> idle_process_bytes(N);
run(persistent_get_atom, N) ->
    once(atom_key, fun() -> persistent_term:put(?KEY, value(0)) end),
    fresh(fun() -> get_loop(N, ?KEY) end);
run(persistent_get_pair, N) ->
    once(pair_key, fun() -> persistent_term:put(?PAIR_KEY, value(0)) end),
    fresh(fun() -> get_loop(N, ?PAIR_KEY) end);
run(persistent_get_cold, N) ->
    once(cold_keys, fun() -> [persistent_term:put({cold, I}, value(I)) || I <- lists:seq(1, ?COLD_KEYS)] end),
    fresh(fun() -> get_cold(N) end);
run(persistent_replace_idle_0, 0) -> replace_beside(0, fun idle/0);
run(persistent_replace_idle_100k, N) -> replace_beside(N, fun idle/0);
run(persistent_replace_idle_1m, N) -> replace_beside(N, fun idle/0);
run(persistent_replace_full_100k, N) -> replace_beside(N, fun full/0);
run(persistent_replace_full_1m, N) -> replace_beside(N, fun full/0);
run(persistent_replace_mixed, N) ->
    once(mixed_terms, fun mixed_terms/0),
    replace_beside(N, fun mixed/0);
run(persistent_replace_first, N) ->
    once(mixed_terms, fun mixed_terms/0),
    replace_beside(N, fun mixed/0);
run(persistent_replace_holders_100k, N) -> replace_held(N);
run(persistent_put_loop, N) -> fresh(fun() -> put_loop(N) end);
run(counters_add_vs_otp, N) -> fresh(fun() -> counters_add(N) end);
run(collect_minor, N) -> collect_minor(N);
run(collect_major, N) -> fresh(fun() -> collect_major(N) end).

%% Messages. A ping-pong copies both ways, so half of it is one copy and one atom's worth of sending.

copy(Term, N) ->
    Both = fresh(fun() -> ping_pong(N, Term) end),
    Atom = fresh(fun() -> ping_pong(N, ping) end),
    (Both - Atom) / (2 * N).

ping_pong(N, Term) ->
    Me = self(),
    Peer = spawn_link(fun() -> pong(Me) end),
    ping(100, Peer, Term),
    erlang:garbage_collect(Peer),
    erlang:garbage_collect(),
    Empty = timed(fun() -> empty_loop(N, Peer) end),
    Loop = timed(fun() -> ping(N, Peer, Term) end),
    leave(Peer),
    Loop - Empty.

ping(0, _, _) ->
    ok;
ping(N, Peer, Term) ->
    Peer ! Term,
    receive
        _ -> ping(N - 1, Peer, Term)
    end.

pong(Peer) ->
    receive
        Term ->
            Peer ! Term,
            pong(Peer)
    end.

round_trip_after(N) ->
    Me = self(),
    Peer = spawn_link(fun() -> pong(Me) end),
    ping(100, Peer, ping),
    Empty = timed(fun() -> empty_loop(N, Peer) end),
    Loop = timed(fun() -> ping_after(N, Peer) end),
    leave(Peer),
    (Loop - Empty) / N.

ping_after(0, _) ->
    ok;
ping_after(N, Peer) ->
    Peer ! ping,
    receive
        _ -> ping_after(N - 1, Peer)
    after 3600000 -> error(late)
    end.

%% Timers that are set and ended, by so many processes at once.
set_cancel(N, AtOnce) ->
    Empty = timed(fun() -> empty_loop(N, self()) end),
    Loop = timed(fun() ->
        Pids = [spawn_monitor(fun() -> set_cancel_loop(N) end) || _ <- lists:seq(1, AtOnce)],
        [receive {'DOWN', Monitor, process, Pid, normal} -> ok end || {Pid, Monitor} <- Pids]
    end),
    (Loop - Empty) / N.

set_cancel_loop(0) ->
    ok;
set_cancel_loop(N) ->
    Timer = erlang:send_after(3600000, self(), ping),
    erlang:cancel_timer(Timer),
    set_cancel_loop(N - 1).

%% Many short queues instead of a long one: the price of a send, not of touching fresh memory. The queues' length
%% is one at which the VM is at its best: at 10,000 a send takes it twice as long.
send_suspended(N) -> send_suspended(N, 0, 0).

send_suspended(N, Sent, Spent) when Sent >= N ->
    Spent / Sent;
send_suspended(N, Sent, Spent) ->
    Receiver = spawn(fun() -> receive never -> ok end end),
    true = erlang:suspend_process(Receiver),
    erlang:garbage_collect(),
    Empty = timed(fun() -> empty_loop(?SENDS_PER_RECEIVER, Receiver) end),
    Loop = timed(fun() -> send_loop(?SENDS_PER_RECEIVER, Receiver) end),
    leave(Receiver),
    send_suspended(N, Sent + ?SENDS_PER_RECEIVER, Spent + Loop - Empty).

%% The clock runs until the receiver has taken the last message.
send_running(N) ->
    Me = self(),
    Receiver = spawn_link(fun() -> drain(N, Me) end),
    erlang:garbage_collect(),
    Empty = timed(fun() -> empty_loop(N, Receiver) end),
    Loop = timed(fun() ->
        send_loop(N, Receiver),
        receive
            {drained, Receiver} -> ok
        end
    end),
    (Loop - Empty) / N.

drain(0, Sender) ->
    Sender ! {drained, self()};
drain(N, Sender) ->
    receive
        ping -> drain(N - 1, Sender)
    end.

send_loop(0, _) ->
    ok;
send_loop(N, To) ->
    To ! ping,
    send_loop(N - 1, To).

%% Processes.

spawn_exit(N) ->
    Before = erlang:system_info(process_count),
    erlang:garbage_collect(),
    Empty = timed(fun() -> empty_loop(N, Before) end),
    Loop = timed(fun() ->
        spawn_loop(N),
        await_count(Before)
    end),
    (Loop - Empty) / N.

spawn_loop(0) ->
    ok;
spawn_loop(N) ->
    spawn(fun() -> ok end),
    spawn_loop(N - 1).

await_count(Count) ->
    case erlang:system_info(process_count) =< Count of
        true ->
            ok;
        false ->
            erlang:yield(),
            await_count(Count)
    end.

idle_process_bytes(N) ->
    Before = resident_bytes(),
    populate(N, fun idle/0),
    (resident_bytes() - Before) / N.

resident_bytes() ->
    {ok, Status} = file:read_file(["/proc/", os:getpid(), "/status"]),
    {match, [Kb]} = re:run(Status, "VmRSS:\\s+(\\d+) kB", [{capture, all_but_first, list}]),
    list_to_integer(Kb) * 1024.

%% Persistent terms: reading.

get_loop(N, Key) ->
    _ = persistent_term:get(Key),
    Empty = timed(fun() -> empty_loop(N, Key) end),
    Loop = timed(fun() -> loop_get(N, Key) end),
    (Loop - Empty) / N.

loop_get(0, _) ->
    ok;
loop_get(N, Key) ->
    _ = persistent_term:get(Key),
    loop_get(N - 1, Key).

%% Keys in random order, half of them absent, from a list; the same walk without the get is subtracted.
get_cold(N) ->
    rand:seed(exsss, 42),
    Keys = [{cold, rand:uniform(2 * ?COLD_KEYS)} || _ <- lists:seq(1, N)],
    erlang:garbage_collect(),
    walk(Keys),
    Walk = timed(fun() -> walk(Keys) end),
    Loop = timed(fun() -> walk_get(Keys) end),
    (Loop - Walk) / N.

walk([]) -> ok;
walk([_ | Keys]) -> walk(Keys).

walk_get([]) ->
    ok;
walk_get([Key | Keys]) ->
    _ = persistent_term:get(Key, absent),
    walk_get(Keys).

%% Persistent terms: replacing, until the memory of the old value is back.

replace_beside(Processes, Body) ->
    once(population, fun() ->
        persistent_term:put(?KEY, value(serial())),
        populate(Processes, Body),
        timer:sleep(200)
    end),
    replace().

%% Before each run every holder takes the current value; that is not timed.
replace_held(Processes) ->
    Tally = counters:new(1, [atomics]),
    Holders = once(population, fun() ->
        persistent_term:put(?KEY, value(serial())),
        populate(Processes, fun() -> holder(none) end)
    end),
    [Holder ! {take, Tally} || Holder <- Holders],
    await_tally(Tally, Processes),
    replace().

replace() ->
    Value = value(serial()),
    settle_literals(),
    fresh(fun() ->
        Before = literal_bytes(),
        timed(fun() ->
            persistent_term:put(?KEY, Value),
            await_literals(Before, erlang:monotonic_time())
        end)
    end).

%% The clock stops at the last put: the backlog that the collector still has to work off is not charged.
put_loop(N) ->
    persistent_term:put(?KEY, {serial(), budget}),
    settle_literals(),
    Values = [{serial(), budget} || _ <- lists:seq(1, N)],
    erlang:garbage_collect(),
    Before = literal_bytes(),
    Walk = timed(fun() -> walk(Values) end),
    Loop = timed(fun() -> put_all(Values) end),
    await_literals(Before, erlang:monotonic_time()),
    (Loop - Walk) / N.

put_all([]) ->
    ok;
put_all([Value | Values]) ->
    persistent_term:put(?KEY, Value),
    put_all(Values).

%% A value that differs each time: an equal one would not be stored at all.
value(Serial) -> {Serial, lists:seq(1, 100)}.

serial() -> erlang:unique_integer([positive]).

%% A look at the allocator takes some 40 us; after the first milliseconds the poll sleeps between two looks, to
%% leave both schedulers to the collection that it waits for.
await_literals(Bytes, Start) ->
    case literal_bytes() =< Bytes of
        true ->
            ok;
        false ->
            case erlang:monotonic_time() - Start < erlang:convert_time_unit(10, millisecond, native) of
                true -> erlang:yield();
                false -> timer:sleep(1)
            end,
            await_literals(Bytes, Start)
    end.

settle_literals() ->
    Bytes = literal_bytes(),
    timer:sleep(20),
    case literal_bytes() of
        Bytes -> ok;
        _ -> settle_literals()
    end.

literal_bytes() -> block_sizes(erlang:system_info({allocator_sizes, literal_alloc})).

block_sizes({blocks, Blocks}) -> sizes(Blocks);
block_sizes({blocks_size, Size, _, _}) -> Size;
block_sizes({instance, _, Parts}) -> block_sizes(Parts);
block_sizes({_, Parts}) -> block_sizes(Parts);
block_sizes(Parts) when is_list(Parts) -> lists:sum([block_sizes(Part) || Part <- Parts]);
block_sizes(_) -> 0.

sizes(Blocks) -> lists:sum([Size || {_, Sizes} <- Blocks, {size, Size, _, _} <- Sizes]).

%% Populations.

populate(N, Body) ->
    Tally = counters:new(1, [atomics]),
    Pids = [spawn(fun() -> counters:add(Tally, 1, 1), Body() end) || _ <- lists:seq(1, N)],
    await_tally(Tally, N),
    Pids.

idle() ->
    receive
        stop -> ok
    end.

holder(Value) ->
    receive
        {take, Tally} ->
            Taken = persistent_term:get(?KEY),
            counters:add(Tally, 1, 1),
            holder(Taken);
        {show, To} ->
            To ! Value,
            holder(Value)
    end.

full() -> keep(lists:seq(1, ?FULL_CELLS)).

mixed_terms() -> [persistent_term:put({mixed, I}, value(I)) || I <- lists:seq(1, ?MIXED_TERMS)].

mixed() ->
    First = erlang:phash2(self(), ?MIXED_TERMS),
    Held = [persistent_term:get({mixed, 1 + (First + 25 * I) rem ?MIXED_TERMS}) || I <- lists:seq(1, ?MIXED_READS)],
    keep(Held).

keep(Held) ->
    receive
        {show, To} ->
            To ! Held,
            keep(Held)
    end.

await_tally(Tally, N) ->
    case counters:get(Tally, 1) of
        N ->
            ok;
        _ ->
            timer:sleep(1),
            await_tally(Tally, N)
    end.

%% Counters.

counters_add(N) ->
    Counters = counters:new(1, [write_concurrency]),
    Empty = timed(fun() -> empty_loop(N, Counters) end),
    Loop = timed(fun() -> add_loop(N, Counters) end),
    N = counters:get(Counters, 1),
    (Loop - Empty) / N.

add_loop(0, _) ->
    ok;
add_loop(N, Counters) ->
    counters:add(Counters, 1, 1),
    add_loop(N - 1, Counters).

%% Collections, per live word. The only live data is a list of pairs, five words a cell: small enough that the VM
%% does it from memory that it has at hand. The first collections pay for fresh memory, so they are not counted.

%% A minor collection can be had once per process; the median of N of them leaves out those that paid for memory.
collect_minor(N) ->
    Sorted = lists:sort([fresh(fun minor/0, [{min_heap_size, 10 * ?LIVE_CELLS}]) || _ <- lists:seq(1, N)]),
    lists:nth((N + 1) div 2, Sorted).

minor() ->
    Live = pairs(?LIVE_CELLS, []),
    Words = erts_debug:flat_size(Live),
    Loop = timed(fun() -> erlang:garbage_collect(self(), [{type, minor}]) end),
    ?LIVE_CELLS = length(Live),
    Loop / Words.

collect_major(N) ->
    Live = pairs(?LIVE_CELLS, []),
    Words = erts_debug:flat_size(Live),
    collect_loop(2),
    Loop = timed(fun() -> collect_loop(N) end),
    ?LIVE_CELLS = length(Live),
    Loop / (N * Words).

collect_loop(0) ->
    ok;
collect_loop(N) ->
    erlang:garbage_collect(),
    collect_loop(N - 1).

pairs(0, Pairs) -> Pairs;
pairs(N, Pairs) -> pairs(N - 1, [{N, N} | Pairs]).

%% Common.

%% A cell whose head and tail are the same cell, and so on: 288 bytes that a copy makes 4 MiB of.
dag(0) ->
    [];
dag(Depth) ->
    Both = dag(Depth - 1),
    [Both | Both].

tree(0) -> [];
tree(Depth) -> {tree(Depth - 1), Depth, tree(Depth - 1)}.

empty_loop(0, _) -> ok;
empty_loop(N, X) -> empty_loop(N - 1, X).

timed(Fun) ->
    Start = erlang:monotonic_time(),
    Fun(),
    erlang:convert_time_unit(erlang:monotonic_time() - Start, native, nanosecond).

%% Each run has a process of its own, collected before it starts: nothing of the last run is on its heap.
fresh(Fun) -> fresh(Fun, []).

fresh(Fun, Options) ->
    Work = fun() ->
        erlang:garbage_collect(),
        exit({value, Fun()})
    end,
    {_, Monitor} = spawn_opt(Work, [monitor | Options]),
    receive
        {'DOWN', Monitor, process, _, {value, Value}} -> Value;
        {'DOWN', Monitor, process, _, Why} -> error(Why)
    end.

leave(Pid) ->
    unlink(Pid),
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive
        {'DOWN', Monitor, process, _, _} -> ok
    end.

once(Name, Fun) ->
    case get(Name) of
        undefined ->
            Value = Fun(),
            put(Name, Value),
            Value;
        Value ->
            Value
    end.
