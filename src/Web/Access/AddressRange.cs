using System.Net;

namespace KlineOrleans.Web;

/// <summary>Reads an address or a network, as in 10.0.0.2 or 10.0.0.0/8.</summary>
internal static class AddressRange
{
    public const string Allowed = "an address or a network, as in 10.0.0.2 or 10.0.0.0/8";

    public static bool TryParse(string? text, out IPNetwork network)
    {
        if (IPAddress.TryParse(text, out var address))
        {
            network = new IPNetwork(address, address.GetAddressBytes().Length * 8);
            return true;
        }

        return IPNetwork.TryParse(text, out network);
    }
}
