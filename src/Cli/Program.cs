using KlineOrleans.Cli;

return await Commands.Run(args, Spectre.Console.AnsiConsole.Console, TimeProvider.System);
