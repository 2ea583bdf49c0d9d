using System.Collections.Frozen;
using System.Collections.Immutable;

namespace KlineOrleans.Ingest.Solana;

/// <summary>The event layouts of one generation of a program. Immutable, thread safe. Source: facts/spinpet-program 1.1 to 1.3 and pump.fun's IDLs.</summary>
public sealed class ProgramGeneration
{
    // Spin Pet, generation 1: the reference. Later generations are told as what differs.
    private const string Created = "payer:pk mint_account:pk curve_account:pk pool_token_account:pk pool_sol_account:pk fee_recipient:pk base_fee_recipient:pk params_account:pk swap_fee:u16 borrow_fee:u16 fee_discount_flag:u8 name:text symbol:text uri:text";
    private const string CreatedShort = "payer:pk mint_account:pk curve_account:pk name:text symbol:text uri:text";
    private const string CreatedWithBooks = $"{Created} up_orderbook:pk down_orderbook:pk latest_price:u128";
    private const string BuySell = "payer:pk mint_account:pk is_buy:bool token_amount:u64 sol_amount:u64 latest_price:u128";
    private const string Locks = "lock_lp_start_price:u128 lock_lp_end_price:u128 lock_lp_sol_amount:u64 lock_lp_token_amount:u64";
    private const string Times = "start_time:u32 end_time:u32";
    private const string LongTimes = "start_time:i64 end_time:i64";
    private const string Position = "margin_sol_amount:u64 borrow_amount:u64 position_asset_amount:u64 borrow_fee:u16";
    private const string Liquidated = "liquidate_indices:u16s";
    private const string LongShort = $"payer:pk mint_account:pk order_pda:pk latest_price:u128 order_type:u8 mint:pk user:pk {Locks} {Times} {Position}";
    private const string ForceLiquidate = "payer:pk mint_account:pk order_pda:pk";
    private const string Close = "payer:pk user_sol_account:pk mint_account:pk is_close_long:bool final_token_amount:u64 final_sol_amount:u64 user_close_profit:u64 latest_price:u128";
    private const string FullClose = $"{Close} order_pda:pk";
    private const string PartialClose = $"{FullClose} order_type:u8 mint:pk user:pk {Locks} {Times} {Position}";
    private const string PartialCloseRealized = $"{FullClose} order_type:u8 mint:pk user:pk {Locks} {Times} margin_init_sol_amount:u64 {Position} realized_sol_amount:u64";
    private const string Milestone = "payer:pk mint_account:pk curve_account:pk swap_fee:u16 borrow_fee:u16 fee_discount_flag:u8";

    // pump.fun appends fields; the first eight are all that a trade needs. The list ends before the first field that is no plain value.
    private const string PumpTrade = "mint:pk sol_amount:u64 token_amount:u64 is_buy:bool user:pk timestamp:i64 virtual_sol_reserves:u64 virtual_token_reserves:u64"
        + " real_sol_reserves:u64 real_token_reserves:u64 fee_recipient:pk fee_basis_points:u64 fee:u64 creator:pk creator_fee_basis_points:u64 creator_fee:u64"
        + " track_volume:bool total_unclaimed_tokens:u64 total_claimed_tokens:u64 current_sol_volume:u64 last_update_timestamp:i64 ix_name:text mayhem_mode:bool"
        + " cashback_fee_basis_points:u64 cashback:u64 buyback_fee_basis_points:u64 buyback_fee:u64";

    private const string PumpCreate = "name:text symbol:text uri:text mint:pk bonding_curve:pk user:pk creator:pk timestamp:i64 virtual_token_reserves:u64 virtual_sol_reserves:u64"
        + " real_token_reserves:u64 token_total_supply:u64 token_program:pk is_mayhem_mode:bool is_cashback_enabled:bool";

    // Events of pump.fun that are known and carry no trade: their fields are nobody's business here.
    private static readonly string[] PumpOthers =
    [
        "Complete", "CompletePumpAmmMigration", "ExtendAccount", "SetParams", "UpdateGlobalAuthority", "CollectCreatorFee", "SetCreator", "SetMetaplexCreator",
        "AdminSetCreator", "AdminSetIdlAuthority", "AdminUpdateTokenIncentives", "ClaimTokenIncentives", "CloseUserVolumeAccumulator", "InitUserVolumeAccumulator",
        "SyncUserVolumeAccumulator", "ReservedFeeRecipients", "UpdateMayhemVirtualParams", "ClaimCashback", "DistributeCreatorFees", "MinimumDistributableFee", "MigrateBondingCurveCreator",
    ];

    private static readonly FrozenDictionary<string, ProgramGeneration> ByName = MakeAll().ToFrozenDictionary(g => g.Name, StringComparer.OrdinalIgnoreCase);

    private readonly EventLayout[] _layouts;

    private ProgramGeneration(string name, params EventLayout[] layouts)
    {
        Name = name;
        _layouts = layouts;
    }

    /// <summary>As configured: 0a, 0b-july, 0b, 1, 1b, 2.0, 2.1, 2.2, 2.3, 2b, pump.</summary>
    public string Name { get; }

    /// <summary>Prices come as a ratio of reserves instead of a scaled number.</summary>
    public bool IsPump => Name == "pump";

    public ImmutableArray<EventLayout> Layouts => [.. _layouts];

    /// <summary>Every generation's name, oldest first.</summary>
    public static ImmutableArray<string> Names { get; } = ["0a", "0b-july", "0b", "1", "1b", "2.0", "2.1", "2.2", "2.3", "2b", "pump"];

    /// <summary>The generation of this name; null if there is none. Case is free.</summary>
    public static ProgramGeneration? Find(string name) => ByName.GetValueOrDefault(name);

    /// <summary>The layout of an event; null if this generation has no such event.</summary>
    public EventLayout? Layout(ulong discriminator)
    {
        foreach (var layout in _layouts)
        {
            if (layout.Discriminator == discriminator)
            {
                return layout;
            }
        }

        return null;
    }

    private static IEnumerable<ProgramGeneration> MakeAll()
    {
        // The earliest deployment printed only its TokenCreated; its other events are those of the IDL that followed it by five days.
        yield return SpinPet1("0a", CreatedShort, PartialClose, milestone: false);
        yield return SpinPet1("0b-july", CreatedShort, PartialClose, milestone: false);
        yield return SpinPet1("0b", Created, PartialClose, milestone: true);
        yield return SpinPet1("1", Created, PartialClose, milestone: true);
        yield return SpinPet1("1b", Created, PartialCloseRealized, milestone: true);
        yield return SpinPet2(
            "2.0",
            $"payer:pk mint_account:pk order_id:u64 latest_price:u128 order_type:u8 mint:pk user:pk {Locks} {Times} {Position} {Liquidated}",
            "order_id:u64",
            $"order_id:u64 order_type:u8 mint:pk user:pk {Locks} {Times} margin_init_sol_amount:u64 {Position}");
        yield return SpinPet2(
            "2.1",
            $"payer:pk mint_account:pk order_id:u64 latest_price:u128 open_price:u128 order_type:u8 mint:pk user:pk {Locks} {Times} {Position} {Liquidated}",
            "order_id:u64",
            $"order_id:u64 order_type:u8 mint:pk user:pk {Locks} {Times} margin_init_sol_amount:u64 {Position}");
        yield return SpinPet2(
            "2.2",
            $"payer:pk mint_account:pk order_id:u64 latest_price:u128 open_price:u128 order_type:u8 {Locks} {Times} {Position} {Liquidated}",
            "order_id:u64",
            $"order_id:u64 order_type:u8 user:pk {Locks} {Times} {Position}");
        yield return SpinPet2(
            "2.3",
            $"payer:pk mint_account:pk order_id:u64 order_index:u16 latest_price:u128 open_price:u128 order_type:u8 {Locks} {Times} {Position} {Liquidated}",
            "order_id:u64 order_index:u16",
            $"order_id:u64 order_index:u16 order_type:u8 user:pk {Locks} {Times} {Position}");
        yield return SpinPet2(
            "2b",
            $"payer:pk mint_account:pk order_id:u64 order_index:u16 latest_price:u128 open_price:u128 order_type:u8 {Locks} {LongTimes} {Position} {Liquidated}",
            "order_id:u64 order_index:u16",
            $"order_id:u64 order_index:u16 order_type:u8 user:pk {Locks} {LongTimes} {Position}");
        yield return new ProgramGeneration(
            "pump",
            [EventLayout.Create("Trade", PumpTrade, knownPrefix: 8), EventLayout.Create("Create", PumpCreate, knownPrefix: 6), .. PumpOthers.Select(n => EventLayout.Create(n, "", knownPrefix: 0))]);
    }

    private static ProgramGeneration SpinPet1(string name, string created, string partialClose, bool milestone)
    {
        EventLayout[] layouts =
        [
            EventLayout.Create("BuySell", BuySell),
            EventLayout.Create("LongShort", LongShort),
            EventLayout.Create("FullClose", FullClose),
            EventLayout.Create("PartialClose", partialClose),
            EventLayout.Create("ForceLiquidate", ForceLiquidate),
            EventLayout.Create("TokenCreated", created),
        ];
        return new ProgramGeneration(name, milestone ? [.. layouts, EventLayout.Create("MilestoneDiscount", Milestone)] : layouts);
    }

    private static ProgramGeneration SpinPet2(string name, string longShort, string orderOfFullClose, string orderOfPartialClose) => new(
        name,
        EventLayout.Create("BuySell", $"{BuySell} {Liquidated}"),
        EventLayout.Create("LongShort", longShort),
        EventLayout.Create("FullClose", $"{Close} {orderOfFullClose} {Liquidated}"),
        EventLayout.Create("PartialClose", $"{Close} {orderOfPartialClose} realized_sol_amount:u64 {Liquidated}"),
        EventLayout.Create("TokenCreated", CreatedWithBooks),
        EventLayout.Create("MilestoneDiscount", Milestone));
}
