%% The Erlang side of `cargo bench --bench savina`, compiled with the figures of `benches/savina/work.rs` as macros.
%%
%% `main/0` serves commands, `ROW N`, by `commands.erl`. A row is a program, run N times one after the other: the
%% nanoseconds that all of them take. The row with `_result` gives the result of one run, which all later ones must give.
-module(savina).
-export([main/0]).

-define(PROGRAMS, [pingpong, threadring, fjcreate, fjthrput, big, bndbuffer]).

main() -> commands:main(fun command/2).

command(Row, N) ->
    [{Program, Rest}] = [{P, R} || P <- ?PROGRAMS, R <- [string:prefix(Row, atom_to_list(P))], R =/= nomatch],
    case Rest of
        "" ->
            Result = get(Program),
            fresh(fun() -> times(Program, N, Result) end);
        "_result" ->
            Result = run(Program),
            put(Program, Result),
            Result
    end.

%% Net of the loop that runs the program so often, and of the loops in it that send.
times(Program, N, Result) ->
    Start = erlang:monotonic_time(),
    repeat(N, Program, Result),
    Took = erlang:monotonic_time() - Start,
    Empty = erlang:monotonic_time(),
    repeat(N, nothing(Program), ok),
    Loops = erlang:monotonic_time() - Empty,
    erlang:convert_time_unit(Took - Loops, native, nanosecond).

repeat(0, _, _) ->
    ok;
repeat(N, Program, Result) ->
    Result = run(Program),
    repeat(N - 1, Program, Result).

nothing(fjcreate) -> {loop, ?CREATED};
nothing(fjthrput) -> {loop, ?WORKERS * ?TASKS};
nothing(_) -> {loop, 0}.

run({loop, N}) -> loop(N);
run(pingpong) -> pingpong();
run(threadring) -> threadring();
run(fjcreate) -> fjcreate();
run(fjthrput) -> fjthrput();
run(big) -> big();
run(bndbuffer) -> bndbuffer().

loop(0) -> ok;
loop(N) -> loop(N - 1).

compute(X, 0) -> X;
compute(X, Steps) -> compute((X * 1103515245 + 12345) band (1 bsl 27 - 1), Steps - 1).

%% A result comes as a message with the reference that the run began with.

result(Tag) ->
    receive
        {Tag, Result} -> Result
    end.

%% pingpong

pingpong() ->
    {Me, Tag} = {self(), make_ref()},
    Pong = spawn(fun() -> pong(none) end),
    spawn(fun() ->
        Pong ! self(),
        Pong ! 1,
        ping(Pong, 0, Me, Tag)
    end),
    result(Tag).

ping(Pong, Sum, Main, Tag) ->
    receive
        N when N < ?PINGS ->
            Pong ! N + 1,
            ping(Pong, Sum + N, Main, Tag);
        N ->
            Pong ! 'end',
            Main ! {Tag, Sum + N}
    end.

pong(Partner) ->
    receive
        New when is_pid(New) ->
            pong(New);
        'end' ->
            ok;
        N ->
            Partner ! N,
            pong(Partner)
    end.

%% threadring

threadring() ->
    {Me, Tag} = {self(), make_ref()},
    Members = [First | Rest] = [spawn(fun() -> member(I, none, false, Me, Tag) end) || I <- lists:seq(0, ?RING - 1)],
    tell_next(Members, Rest ++ [First]),
    First ! ?HOPS,
    result(Tag).

tell_next([], []) ->
    ok;
tell_next([Member | Members], [Next | Nexts]) ->
    Member ! Next,
    tell_next(Members, Nexts).

member(I, Next, Last, Main, Tag) ->
    receive
        New when is_pid(New) ->
            member(I, New, Last, Main, Tag);
        0 ->
            Next ! 'end',
            member(I, Next, true, Main, Tag);
        'end' when Last ->
            Main ! {Tag, I};
        'end' ->
            Next ! 'end';
        Left ->
            Next ! Left - 1,
            member(I, Next, Last, Main, Tag)
    end.

%% fjcreate, fjthrput. The tally: a sum, and how many have still to add to it.

tally(Parts) ->
    Tally = atomics:new(2, []),
    atomics:put(Tally, 2, Parts),
    Tally.

add(Tally, Part, Main, Tag) ->
    atomics:add(Tally, 1, Part),
    case atomics:sub_get(Tally, 2, 1) of
        0 -> Main ! {Tag, atomics:get(Tally, 1)};
        _ -> ok
    end.

fjcreate() ->
    {Me, Tag, Tally} = {self(), make_ref(), tally(?CREATED)},
    create(0, Tally, Me, Tag),
    result(Tag).

create(?CREATED, _, _, _) ->
    ok;
create(I, Tally, Main, Tag) ->
    Child = spawn(fun() ->
        receive
            Task -> add(Tally, compute(Task, 1), Main, Tag)
        end
    end),
    Child ! I,
    create(I + 1, Tally, Main, Tag).

fjthrput() ->
    {Me, Tag, Tally} = {self(), make_ref(), tally(?WORKERS)},
    Workers = [spawn(fun() -> worker(?TASKS, 0, Tally, Me, Tag) end) || _ <- lists:seq(1, ?WORKERS)],
    throughput(0, Workers),
    result(Tag).

throughput(?TASKS, _) ->
    ok;
throughput(Task, Workers) ->
    send_all(Workers, Task),
    throughput(Task + 1, Workers).

send_all([], _) ->
    ok;
send_all([To | Rest], Message) ->
    To ! Message,
    send_all(Rest, Message).

worker(0, Sum, Tally, Main, Tag) ->
    add(Tally, Sum, Main, Tag);
worker(Left, Sum, Tally, Main, Tag) ->
    receive
        Task -> worker(Left - 1, Sum + compute(Task, 1), Tally, Main, Tag)
    end.

%% big: a question is the pid of who asks.

big() ->
    {Me, Tag} = {self(), make_ref()},
    Sink = spawn(fun() -> sink(none, 0, 0, 0, Me, Tag) end),
    Peers = [spawn(fun() -> peer(none, I, ?QUESTIONS, 0, Sink) end) || I <- lists:seq(0, ?PEERS - 1)],
    All = list_to_tuple(Peers),
    Sink ! All,
    send_all(Peers, All),
    result(Tag).

peer(Peers, Chance, Left, Answered, Sink) ->
    receive
        Asker when is_pid(Asker) ->
            Asker ! pong,
            peer(Peers, Chance, Left, Answered + 1, Sink);
        pong ->
            ask(Peers, Chance, Left, Answered, Sink);
        'end' ->
            Sink ! Answered;
        New ->
            ask(New, Chance, Left, Answered, Sink)
    end.

%% Asks somebody, or says that nothing is left to ask.
ask(Peers, Chance, 0, Answered, Sink) ->
    Sink ! done,
    peer(Peers, Chance, 0, Answered, Sink);
ask(Peers, Chance, Left, Answered, Sink) ->
    Next = compute(Chance, 1),
    element(1 + (Next bsr 12) rem ?PEERS, Peers) ! self(),
    peer(Peers, Next, Left - 1, Answered, Sink).

sink(Peers, Done, Ended, Answered, Main, Tag) ->
    receive
        done when Done + 1 =:= ?PEERS ->
            send_all(tuple_to_list(Peers), 'end'),
            sink(Peers, Done + 1, Ended, Answered, Main, Tag);
        done ->
            sink(Peers, Done + 1, Ended, Answered, Main, Tag);
        N when is_integer(N), Ended + 1 =:= ?PEERS ->
            Main ! {Tag, Answered + N};
        N when is_integer(N) ->
            sink(Peers, Done, Ended + 1, Answered + N, Main, Tag);
        New ->
            sink(New, Done, Ended, Answered, Main, Tag)
    end.

%% bndbuffer. To the manager: `{Producers, Consumers}`; `{Producer, Item}`; a consumer that is free; `done`, of a producer
%% that has made all that it had to make; and what a consumer has seen, an integer.

-record(store, {
    items = {[], []}, length = 0, producers = [], consumers = [], all = [], free = 0, ended = 0, heard = 0, sum = 0
}).

bndbuffer() ->
    {Me, Tag} = {self(), make_ref()},
    Manager = spawn(fun() -> manager(#store{}, Me, Tag) end),
    Producers = [spawn(fun() -> producer(I * ?ITEMS, (I + 1) * ?ITEMS, Manager) end) || I <- lists:seq(0, ?PRODUCERS - 1)],
    Consumers = [spawn(fun() -> consumer(0, Manager) end) || _ <- Producers],
    Manager ! {Producers, Consumers},
    result(Tag).

manager(S, Main, Tag) ->
    receive
        {Producer, Item} when is_pid(Producer) ->
            manager(produced(taken(S, Item), Producer), Main, Tag);
        Consumer when is_pid(Consumer) ->
            all_over(free(S, Consumer), Main, Tag);
        done ->
            all_over(S#store{ended = S#store.ended + 1}, Main, Tag);
        {Producers, Consumers} ->
            send_all(Producers, produce),
            manager(S#store{consumers = Consumers, all = Consumers, free = ?PRODUCERS}, Main, Tag);
        Sum when S#store.heard + 1 =:= ?PRODUCERS ->
            Main ! {Tag, S#store.sum + Sum};
        Sum ->
            manager(S#store{heard = S#store.heard + 1, sum = S#store.sum + Sum}, Main, Tag)
    end.

taken(#store{consumers = [Consumer | Rest], free = Free} = S, Item) ->
    Consumer ! Item,
    S#store{consumers = Rest, free = Free - 1};
taken(#store{items = Items, length = Length} = S, Item) ->
    S#store{items = queue:in(Item, Items), length = Length + 1}.

produced(#store{length = Length, producers = Waiting} = S, Producer) when Length >= ?ROOM ->
    S#store{producers = [Producer | Waiting]};
produced(S, Producer) ->
    Producer ! produce,
    S.

free(#store{length = 0, consumers = Consumers, free = Free} = S, Consumer) ->
    S#store{consumers = [Consumer | Consumers], free = Free + 1};
free(#store{items = Items, length = Length, producers = Waiting} = S, Consumer) ->
    {{value, Item}, Rest} = queue:out(Items),
    Consumer ! Item,
    S1 = S#store{items = Rest, length = Length - 1},
    case Waiting of
        [] ->
            S1;
        [Producer | Others] ->
            Producer ! produce,
            S1#store{producers = Others}
    end.

all_over(#store{ended = ?PRODUCERS, free = ?PRODUCERS, all = All} = S, Main, Tag) ->
    send_all(All, 'end'),
    manager(S#store{free = 0}, Main, Tag);
all_over(S, Main, Tag) ->
    manager(S, Main, Tag).

producer(End, End, Manager) ->
    receive
        produce -> Manager ! done
    end;
producer(Next, End, Manager) ->
    receive
        produce ->
            Manager ! {self(), compute(Next, ?COST)},
            producer(Next + 1, End, Manager)
    end.

consumer(Sum, Manager) ->
    receive
        'end' ->
            Manager ! Sum;
        Item ->
            Manager ! self(),
            consumer(Sum + compute(Item, ?COST), Manager)
    end.

%% Each run has a process of its own, collected before it starts: nothing of the last run is on its heap.
fresh(Fun) ->
    Work = fun() ->
        erlang:garbage_collect(),
        exit({value, Fun()})
    end,
    {_, Monitor} = spawn_opt(Work, [monitor]),
    receive
        {'DOWN', Monitor, process, _, {value, Value}} -> Value;
        {'DOWN', Monitor, process, _, Why} -> error(Why)
    end.
