%% What the Erlang sides of the benches have in common: `main/1` reads commands from stdin, one a line, `ROW N`, does each by
%% the function that it is given, of the row as a string and of N, and answers with one line: `ok VALUE` or `error WHY`.
-module(commands).
-export([main/1]).

main(Run) ->
    Server = self(),
    %% A process of its own waits for input, so that the end of the input ends the VM even during a run.
    spawn_link(fun() -> read(Server) end),
    io:format("ready ~s ~s ~w~n", [
        erlang:system_info(otp_release), erlang:system_info(version), erlang:system_info(schedulers_online)
    ]),
    serve(Run).

read(Server) ->
    case io:get_line("") of
        Line when is_list(Line) ->
            Server ! {command, string:lexemes(Line, " \n")},
            read(Server);
        _ ->
            erlang:halt(0, [{flush, false}])
    end.

serve(Run) ->
    receive
        {command, [Row, N]} ->
            try Run(Row, list_to_integer(N)) of
                Value -> io:format("ok ~.6f~n", [float(Value)])
            catch
                _:Why -> io:format("error ~0tP~n", [Why, 20])
            end;
        {command, _} ->
            io:format("error malformed command~n")
    end,
    serve(Run).
