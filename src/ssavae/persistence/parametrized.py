"""Networks with parametrizations, such as weight norm and spectral norm, in a form that can be pickled.

torch pickles no module that has a parametrization, since its class is made while the program runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from ssavae.networks import copy_network


@dataclass
class PlainNetwork:
    """A network without its parametrizations, and all that :meth:`restored` needs to register them again.

    Parameters
    ----------
    network : nn.Module
    parametrizations : list of (module name, tensor name, nn.Module)
        In the order in which they were registered.
    weights : dict of Tensor
        ``state_dict`` of the network with its parametrizations.
    """

    network: nn.Module
    parametrizations: list[tuple[str, str, nn.Module]]
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, network: nn.Module) -> PlainNetwork:
        """Take the parametrizations off a copy of a network."""
        plain = copy_network(network)
        weights = {name: tensor.detach().clone() for name, tensor in plain.state_dict().items()}
        parametrizations: list[tuple[str, str, nn.Module]] = []
        for name, module in list(plain.named_modules()):
            if parametrize.is_parametrized(module):
                parametrizations += [(name, *each) for each in _strip(module)]
        return cls(plain, parametrizations, weights)

    def restored(self) -> nn.Module:
        """Return the network with its parametrizations, bit for bit."""
        for name, tensor_name, function in self.parametrizations:
            module = self.network.get_submodule(name)
            parametrize.register_parametrization(module, tensor_name, function, unsafe=True)
        self.network.load_state_dict(self.weights)
        return self.network


def _strip(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Turn parametrized tensors into plain ones; return their parametrizations.

    ``remove_parametrizations`` would break the network that the module is a copy of: they share a class.
    """
    registered = dict(module.get_submodule("parametrizations").named_children())
    values = {name: getattr(module, name).detach() for name in registered}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, value in values.items():
        is_trained = any(parameter.requires_grad for parameter in registered[name].parameters())
        module.register_parameter(name, nn.Parameter(value, requires_grad=is_trained))
    hooks = module._load_state_dict_pre_hooks
    for key, hook in list(hooks.items()):
        if getattr(hook, "hook", hook).__module__ == weight_norm.__module__:
            del hooks[key]  # reads weights of torch before 2.0, and cannot be pickled
    return [(name, each) for name, functions in registered.items() for each in functions.children()]


def picklable(value: object) -> object:
    """Return a value, or of a network a copy that can be pickled, and read where there is no such device."""
    if not isinstance(value, nn.Module):
        return value
    copy = copy_network(value).cpu()
    return PlainNetwork.of(copy) if any(map(parametrize.is_parametrized, copy.modules())) else copy


def restored(value: object) -> object:
    """Undo :func:`picklable`."""
    return value.restored() if isinstance(value, PlainNetwork) else value
